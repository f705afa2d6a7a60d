//! Other keys for this peer, as they are kept: drawn and pending, then in force. Plain functions on keys in memory; `keyring`
//! makes each of them one durable step.
//!
//! Pending keys are durable before anybody hears of them: an account that had taken keys which a crash forgot would be lost.
//! The order is made anew from what is kept, the same bytes every time. Nothing is ever thrown away: keys that were given up
//! still sign grants on the e-coins sold to them, and keys that the account did not take may have been taken after all.

use netpay_protocol::ids::{BrokerId, PeerId, RequestId};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::Rotate;
use netpay_protocol::register::RotateKeys;
use netpay_protocol::sealing::SealingKey;
use netpay_protocol::wire;
use zeroize::{Zeroize as _, Zeroizing};

use crate::home::identity::{Former, Identity};
use crate::home::keyring::Keys;

/// Keys that were drawn for this peer, and the order that names them.
pub struct Pending {
    /// The keys, as if they were a peer's first.
    pub keys: Identity,
    /// The order's id.
    pub request: RequestId,
    /// Until when the broker may carry it out.
    pub valid_until_ms: u64,
}

impl Pending {
    /// The order and the keys that it names: the same bytes every time.
    pub fn rotate(&self, me: &Identity, broker: BrokerId) -> Rotate {
        let register = self.keys.register(broker);
        let order = RotateKeys {
            broker,
            peer: me.peer(),
            request: self.request,
            valid_until_ms: self.valid_until_ms,
            register: register.content.digest(),
        };
        Rotate { order: Signed::new(order, &me.signing), register }
    }

    /// The same once more.
    pub fn copy(&self) -> Self {
        Self { keys: self.keys.copy(), request: self.request, valid_until_ms: self.valid_until_ms }
    }
}

impl Keys {
    /// Keeps drawn keys as pending, unless others are already.
    pub fn prepare(&mut self, draw: impl FnOnce() -> Pending) {
        self.pending.get_or_insert_with(draw);
    }

    /// The account took the keys of this order: they speak from now on. Twice is once.
    pub fn switch(&mut self, request: RequestId) {
        if let Some(Pending { keys, .. }) = self.pending.take_if(|pending| pending.request == request) {
            self.identity = self.identity.copy().with_keys_of(keys);
        }
    }

    /// The account did not take the keys of this order, and cannot any more.
    pub fn give_up(&mut self, request: RequestId) {
        if let Some(Pending { keys, .. }) = self.pending.take_if(|pending| pending.request == request) {
            let Identity { signing, sealing, .. } = keys;
            self.identity.keep(Former { signing, sealing });
        }
    }
}

/// What a home's keys have beside those of a new one, in bytes.
#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
struct Kept {
    #[n(0)]
    peer: PeerId,
    #[n(1)]
    former: Vec<KeptKeys>,
    #[n(2)]
    pending: Option<KeptPending>,
}

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
struct KeptKeys {
    #[cbor(n(0), with = "minicbor::bytes")]
    signing: [u8; 32],
    #[cbor(n(1), with = "minicbor::bytes")]
    sealing: Vec<u8>,
}

impl Drop for KeptKeys {
    fn drop(&mut self) {
        self.signing.zeroize();
        self.sealing.zeroize();
    }
}

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
struct KeptPending {
    #[n(0)]
    keys: KeptKeys,
    #[cbor(n(1), with = "minicbor::bytes")]
    nats: [u8; 32],
    #[n(2)]
    request: RequestId,
    #[n(3)]
    valid_until_ms: u64,
}

impl Drop for KeptPending {
    fn drop(&mut self) {
        self.nats.zeroize();
    }
}

fn kept(signing: &SigningKey, sealing: &SealingKey) -> KeptKeys {
    KeptKeys { signing: *signing.seed(), sealing: sealing.to_der().to_vec() }
}

/// What keys have beside those of a new home; nothing as long as that is nothing. Once it is something it stays so.
pub fn to_bytes(keys: &Keys) -> Option<Zeroizing<Vec<u8>>> {
    let Keys { identity, pending, .. } = keys;
    if identity.former().is_empty() && pending.is_none() {
        return None;
    }
    let pending = pending.as_ref().map(|pending| KeptPending {
        keys: kept(&pending.keys.signing, &pending.keys.sealing),
        nats: *pending.keys.nats.seed(),
        request: pending.request,
        valid_until_ms: pending.valid_until_ms,
    });
    let former = identity.former().iter().map(|former| kept(&former.signing, &former.sealing)).collect();
    Some(Zeroizing::new(wire::encode(&Kept { peer: identity.peer(), former, pending })))
}

/// Adds what [`to_bytes`] made.
pub fn from_bytes(keys: Keys, bytes: &[u8]) -> Option<Keys> {
    let kept: Kept = wire::decode(bytes).ok()?;
    let signing = |kept: &KeptKeys| SigningKey::from_seed(&kept.signing);
    let sealing = |kept: &KeptKeys| SealingKey::from_der(&kept.sealing).ok();
    let former = |kept: &KeptKeys| Some(Former { signing: signing(kept), sealing: sealing(kept)? });
    let former = kept.former.iter().map(former).collect::<Option<Vec<_>>>()?;
    let pending = match &kept.pending {
        None => None,
        Some(pending) => Some(Pending {
            keys: Identity::first(
                signing(&pending.keys),
                sealing(&pending.keys)?,
                SigningKey::from_seed(&pending.nats),
            ),
            request: pending.request,
            valid_until_ms: pending.valid_until_ms,
        }),
    };
    Some(Keys { identity: keys.identity.of(kept.peer, former), pending, ..keys })
}
