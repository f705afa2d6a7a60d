//! The broker's key list: which keys speak for it, for what, and when. Signed by the root key that the BrokerId names.

use crate::ids::{BrokerId, Kid};
use crate::keys::PublicKey;
use crate::layout::{Layout, Malformed, Reader, Signed, Writer};
use crate::limits::{MAX_KEY_LIST_LIFE_MS, MAX_KEYS};

/// What a key may sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Touchstones and sealed paywords.
    Touchstone,
    /// Statements and answers.
    Statement,
    /// Revocation lists.
    Notice,
}

impl Purpose {
    fn number(self) -> u8 {
        match self {
            Self::Touchstone => 1,
            Self::Statement => 2,
            Self::Notice => 3,
        }
    }
}

/// One key. 65 bytes in the layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListedKey {
    /// SHA-256(key)[..8]; a list in which it is anything else is malformed.
    pub kid: Kid,
    /// The key.
    pub key: PublicKey,
    /// What it may sign.
    pub purpose: Purpose,
    /// Signs nothing before.
    pub not_before_ms: u64,
    /// Signs nothing after; what it signed before stays good (*retired*).
    pub not_after_ms: u64,
    /// Zero, or when it was *revoked*: nothing it ever signed is good.
    pub revoked_at_ms: u64,
}

/// The list. Layout `keys`, signed by the root key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyList {
    /// The broker.
    pub broker: BrokerId,
    /// With `seq`: which list is newer. A receiver keeps the highest.
    pub incarnation: u64,
    /// See `incarnation`.
    pub seq: u64,
    /// When it was signed.
    pub issued_at_ms: u64,
    /// When the next one is due, at most 90 days later. Past it nobody makes a first contact on this list.
    pub next_at_ms: u64,
    /// The keys.
    pub keys: Vec<ListedKey>,
}

impl Layout for KeyList {
    const WHAT: &'static str = "keys";

    fn write(&self, w: &mut Writer) {
        w.fixed(&self.broker.0);
        w.u64(self.incarnation);
        w.u64(self.seq);
        w.u64(self.issued_at_ms);
        w.u64(self.next_at_ms);
        w.count(self.keys.len());
        for key in &self.keys {
            w.fixed(&key.kid.0);
            w.fixed(&key.key.0);
            w.u8(key.purpose.number());
            w.u64(key.not_before_ms);
            w.u64(key.not_after_ms);
            w.u64(key.revoked_at_ms);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let list = Self {
            broker: BrokerId(r.fixed()?),
            incarnation: r.u64()?,
            seq: r.u64()?,
            issued_at_ms: r.u64()?,
            next_at_ms: r.u64()?,
            keys: r.list("keys in a key list", MAX_KEYS, |r| {
                let (kid, key) = (Kid(r.fixed()?), PublicKey(r.fixed()?));
                if kid != Kid::of(&key) {
                    return Err(Malformed::Value("kid"));
                }
                let purpose = match r.u8()? {
                    1 => Purpose::Touchstone,
                    2 => Purpose::Statement,
                    3 => Purpose::Notice,
                    _ => return Err(Malformed::Value("key purpose")),
                };
                let (not_before_ms, not_after_ms, revoked_at_ms) = (r.u64()?, r.u64()?, r.u64()?);
                Ok(ListedKey { kid, key, purpose, not_before_ms, not_after_ms, revoked_at_ms })
            })?,
        };
        if list.next_at_ms.saturating_sub(list.issued_at_ms) > MAX_KEY_LIST_LIFE_MS {
            return Err(Malformed::Value("time to the next key list"));
        }
        Ok(list)
    }
}

/// A key list as it travels: with the root key, which is worth what its hash says.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct SignedKeyList {
    /// The root key.
    #[n(0)]
    pub root: PublicKey,
    /// The list.
    #[n(1)]
    pub list: Signed<KeyList>,
}

/// Why a key list is not this broker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key list is not signed by the root key of the pinned broker")]
pub struct NotThisBroker;

/// A key list that was checked against a pinned broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerKeys(KeyList);

impl SignedKeyList {
    /// Checks root key, signature and broker.
    pub fn verify(&self, pinned: BrokerId) -> Result<BrokerKeys, NotThisBroker> {
        let good = BrokerId::of(&self.root) == pinned && self.list.content.broker == pinned;
        if !good {
            return Err(NotThisBroker);
        }
        self.list.verify(&self.root).map(|list| BrokerKeys(list.clone())).map_err(|_| NotThisBroker)
    }
}

impl BrokerKeys {
    /// The list itself.
    pub fn list(&self) -> &KeyList {
        &self.0
    }

    /// The key that could sign for this purpose at that time: listed, within its life, and not revoked.
    pub fn find(&self, kid: Kid, purpose: Purpose, at_ms: u64) -> Option<PublicKey> {
        self.0
            .keys
            .iter()
            .find(|key| key.kid == kid && key.purpose == purpose)
            .filter(|key| key.revoked_at_ms == 0 && (key.not_before_ms..=key.not_after_ms).contains(&at_ms))
            .map(|key| key.key)
    }

    /// Which of two lists is newer.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.0.incarnation, self.0.seq) > (other.0.incarnation, other.0.seq)
    }
}
