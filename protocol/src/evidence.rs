//! Evidence of a double spend, for a stranger: two grants of the same words to two payees, and whose they are.
//!
//! Verified with nothing but the BrokerId. The broker must not be able to frame anybody, so that the accusation rests on
//! the payer's signatures alone: the key that made them must be the one that the payer's id is made of, or one that the
//! payer changed to, signed with the key before. The broker's
//! word, the touchstone, adds that the e-coin was sold, with how many words and to whom they could be paid. Holds no
//! payword: evidence may be handed on, and is worth nothing.

use crate::amounts::{PaywordIndex, UnitValue, Units};
use crate::ids::{BrokerId, EcoinId, Kid, PeerId};
use crate::index::SignedIndex;
use crate::key_list::{Purpose, SignedKeyList};
use crate::keys::PublicKey;
use crate::layout::Signed;
use crate::register::{Register, RotateKeys};
use crate::runs::Run;
use crate::touchstone::Touchstone;

/// The evidence, as it is handed on.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Evidence {
    /// The broker's keys.
    #[n(0)]
    pub keys: SignedKeyList,
    /// What the broker said of the e-coin.
    #[n(1)]
    pub touchstone: Signed<Touchstone>,
    /// The grant that was redeemed first.
    #[n(2)]
    pub first: Signed<SignedIndex>,
    /// The grant that came second.
    #[n(3)]
    pub second: Signed<SignedIndex>,
    /// How the payer came from the key that its id is made of to the one in the touchstone; nothing if they are one.
    #[n(4)]
    pub succession: Option<Succession>,
}

/// A peer's keys, from its first one on.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Succession {
    /// The key that the peer's id is made of.
    #[n(0)]
    pub first: PublicKey,
    /// Its changes of keys, in order.
    #[n(1)]
    pub changes: Vec<KeyChange>,
}

/// One change of keys.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct KeyChange {
    /// Signed with the key until then.
    #[n(0)]
    pub order: Signed<RotateKeys>,
    /// The keys from then on, signed with the new one.
    #[n(1)]
    pub register: Signed<Register>,
}

impl Succession {
    /// The key that the peer had last, if each change is signed with the key before it.
    pub fn last_key(&self, broker: BrokerId, peer: PeerId) -> Option<PublicKey> {
        let mut key = self.first;
        key.check_registrable().ok()?;
        for KeyChange { order, register } in &self.changes {
            let about = (order.content.broker, order.content.peer) == (broker, peer);
            let signed = order.verify(&key).is_ok() && order.check(register).is_ok();
            if !(about && signed) {
                return None;
            }
            key = register.content.signing_key;
        }
        Some(key).filter(|_| PeerId::of(&self.first) == peer)
    }
}

/// What evidence proves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proven {
    /// Who granted the same words twice.
    pub payer: PeerId,
    /// Of which e-coin.
    pub ecoin: EcoinId,
    /// To whom the first grant is.
    pub first: PeerId,
    /// To whom the second is.
    pub second: PeerId,
    /// The words that both were granted.
    pub words: Run,
    /// What one of them is worth.
    pub unit_value: UnitValue,
}

impl Proven {
    /// What the words granted twice are worth.
    pub fn worth(&self) -> Units {
        self.words.words().worth(self.unit_value)
    }
}

/// Which of the two grants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// The one redeemed first.
    First,
    /// The one that came second.
    Second,
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::First => "first",
            Self::Second => "second",
        })
    }
}

/// Why evidence does not prove a double spend, in the order in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// Not the pinned broker's keys.
    #[error("the key list is not signed by the root key of broker {0}")]
    KeyList(BrokerId),
    /// An e-coin of somebody else's.
    #[error("the touchstone is of broker {0}, not of the one that was asked about")]
    Broker(BrokerId),
    /// The key is not the payer's by anything but the broker's word.
    #[error(
        "nothing leads from the key that the id of payer {0} is made of to the touchstone's: that the payer has it, only the broker says"
    )]
    KeyOfAnother(PeerId),
    /// A key under which one signature can fit many messages.
    #[error("the payer's key is one under which signatures prove nothing (not a canonical point of prime order)")]
    WeakKey,
    /// Not the payer's word, or on another e-coin.
    #[error("the {0} grant is not signed by the payer for this e-coin")]
    Grant(Which),
    /// A grant that pays nobody.
    #[error("the {0} grant is not of words that the e-coin has: expected 1 ≤ from < to ≤ n + 1")]
    Range(Which),
    /// A grant that pays nobody.
    #[error(
        "the {0} grant is to the payer itself, or to another than the payee to whom the e-coin is bound: nobody is paid by it"
    )]
    Payee(Which),
    /// One payee may get any number of grants on the same words.
    #[error("both grants are to the same payee, who is paid once for each word")]
    SamePayee,
    /// Different words.
    #[error("the grants have no word in common")]
    Apart,
    /// The broker's key list does not have the key, for then.
    #[error("the key list has no touchstone key {0} that was good when the e-coin was sold")]
    Unlisted(Kid),
    /// The broker did not say so.
    #[error("the touchstone is not signed by the broker's key {0}")]
    Touchstone(Kid),
    /// Anybody may have said so. Everything else holds.
    #[error("the touchstone is signed by key {kid}, which the broker revoked: whether it sold this e-coin is unproven")]
    Revoked {
        /// The key.
        kid: Kid,
        /// Since when.
        revoked_at_ms: u64,
    },
}

impl Unproven {
    /// Its name, as programs read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::KeyList(_) => "key_list",
            Self::Broker(_) => "broker",
            Self::KeyOfAnother(_) => "key_of_another",
            Self::WeakKey => "weak_key",
            Self::Grant(_) => "grant",
            Self::Range(_) => "range",
            Self::Payee(_) => "payee",
            Self::SamePayee => "same_payee",
            Self::Apart => "apart",
            Self::Unlisted(_) => "unlisted",
            Self::Touchstone(_) => "touchstone",
            Self::Revoked { .. } => "revoked",
        }
    }

    /// Whether the payer's part is proven all the same: it signed two grants of the same words to two payees, under this
    /// broker's name. Everything but the broker's part was found good then.
    pub fn leaves_conduct(&self) -> bool {
        matches!(self, Self::Unlisted(_) | Self::Touchstone(_) | Self::Revoked { .. })
    }
}

impl Evidence {
    /// Checks everything. Needs no clock: evidence does not grow old.
    pub fn verify(&self, pinned: BrokerId) -> Result<Proven, Unproven> {
        let keys = self.keys.verify(pinned).map_err(|_| Unproven::KeyList(pinned))?;
        let t = &self.touchstone.content;
        if t.broker != pinned {
            return Err(Unproven::Broker(t.broker));
        }
        let proven = self.conduct()?;
        let listed = keys.list().keys.iter().find(|key| key.kid == t.kid && key.purpose == Purpose::Touchstone);
        let listed = listed
            .filter(|key| (key.not_before_ms..=key.not_after_ms).contains(&t.issued_at_ms))
            .ok_or(Unproven::Unlisted(t.kid))?;
        self.touchstone.verify(&listed.key).map_err(|_| Unproven::Touchstone(t.kid))?;
        if listed.revoked_at_ms != 0 {
            return Err(Unproven::Revoked { kid: t.kid, revoked_at_ms: listed.revoked_at_ms });
        }
        Ok(proven)
    }

    /// What the payer did, by its own signatures: nothing here believes the broker that the payer has this key.
    fn conduct(&self) -> Result<Proven, Unproven> {
        let t = &self.touchstone.content;
        let own = match &self.succession {
            None => PeerId::of(&t.payer_key) == t.payer,
            Some(keys) => keys.last_key(t.broker, t.payer) == Some(t.payer_key),
        };
        if !own {
            return Err(Unproven::KeyOfAnother(t.payer));
        }
        t.payer_key.check_registrable().map_err(|_| Unproven::WeakKey)?;
        let first = granted(t, &self.first, Which::First)?;
        let second = granted(t, &self.second, Which::Second)?;
        let (first_payee, second_payee) = (self.first.content.payee, self.second.content.payee);
        if first_payee == second_payee {
            return Err(Unproven::SamePayee);
        }
        let words = first.meet(&second).ok_or(Unproven::Apart)?;
        Ok(Proven {
            payer: t.payer,
            ecoin: t.ecoin,
            first: first_payee,
            second: second_payee,
            words,
            unit_value: t.unit_value,
        })
    }
}

/// The words of a grant that would have paid its payee.
fn granted(t: &Touchstone, grant: &Signed<SignedIndex>, which: Which) -> Result<Run, Unproven> {
    grant.verify_under(t).map_err(|_| Unproven::Grant(which))?;
    let SignedIndex { from, to, payee, .. } = grant.content;
    let last = to.previous().unwrap_or(PaywordIndex(0));
    if !grant.content.covers(last, t.n) {
        return Err(Unproven::Range(which));
    }
    if payee == t.payer || !t.guarantee.allows(payee) {
        return Err(Unproven::Payee(which));
    }
    Run::new(from, last).ok_or(Unproven::Range(which))
}
