//! The Central Indexing Server's actor: takes listings, answers searches, leaves out the suspended.
//!
//! Has no key of the broker and no ledger: what it believes of the broker is what the broker signed.

use netpay_protocol::certificate::{Certificate, NotCertified};
use netpay_protocol::ids::{BrokerId, PeerId};
use netpay_protocol::key_list::{BrokerKeys, SignedKeyList};
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::{Announce, Done, Search, TakeBack};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::subjects::IndexOp;
use netpay_protocol::wire;

use super::runtime::Handler;
use crate::ports::{Listings, Reply, now_ms};

/// What the index takes.
pub enum ToIndex {
    /// A peer's request: the subject's sender and operation, the message, the way back.
    Request(Option<PeerId>, IndexOp, Vec<u8>, Reply),
    /// The broker's keys.
    Keys(Box<SignedKeyList>),
    /// Who is suspended.
    Revoked(Box<Signed<RevocationList>>),
    /// Forget what has lapsed.
    Sweep,
}

/// See the module.
pub struct IndexActor {
    broker: BrokerId,
    listings: Box<dyn Listings>,
    keys: Option<BrokerKeys>,
    revoked: Option<RevocationList>,
}

impl IndexActor {
    /// Serves these listings for the customers of this broker.
    pub fn new(broker: BrokerId, listings: Box<dyn Listings>) -> Self {
        Self { broker, listings, keys: None, revoked: None }
    }

    fn serve(&mut self, sender: Option<PeerId>, op: IndexOp, payload: &[u8], reply: Reply) {
        let now_ms = now_ms();
        match op {
            IndexOp::Announce => {
                reply.result(wire::decode(payload).map_err(Problem::from).and_then(|announce: Announce| {
                    check_sender(sender, announce.listing.content.supplier)?;
                    self.listings.announce(&announce, now_ms).map(|()| Done::default())
                }))
            }
            IndexOp::Withdraw => {
                reply.result(wire::decode(payload).map_err(Problem::from).and_then(|withdraw: TakeBack| {
                    check_sender(sender, withdraw.withdraw.content.supplier)?;
                    self.listings.withdraw(&withdraw, now_ms).map(|()| Done::default())
                }))
            }
            IndexOp::Certify => reply.result(self.certify(sender, payload)),
            IndexOp::Search => reply.result(wire::decode(payload).map_err(Problem::from).and_then(|search: Search| {
                let suspended = |peer| self.revoked.as_ref().is_some_and(|list| list.contains(peer));
                self.listings.search(&search, now_ms, &suspended)
            })),
        }
    }

    fn certify(&mut self, sender: Option<PeerId>, payload: &[u8]) -> Result<Done, Problem> {
        let certificate: Signed<Certificate> = wire::decode(payload)?;
        let Certificate { peer, given_up, .. } = certificate.content;
        check_sender(sender, peer)?;
        let keys = self.keys.as_ref().ok_or_else(|| {
            Problem::new(Kind::Unavailable, "this index has no key list of the broker's yet; try again in a minute")
        })?;
        let key = certificate.key_of(peer, keys).map_err(|why| {
            let kind = if why == NotCertified::Signature { Kind::BadSignature } else { Kind::NotForMe };
            Problem::new(kind, why.to_string())
        })?;
        self.listings.certify(peer, key, given_up).map(|()| Done::default())
    }

    fn learn_keys(&mut self, list: &SignedKeyList) {
        let Ok(keys) = list.verify(self.broker) else {
            return;
        };
        if self.keys.as_ref().is_none_or(|known| keys.is_newer_than(known)) {
            self.keys = Some(keys);
        }
    }

    fn learn_revoked(&mut self, signed: &Signed<RevocationList>) {
        let Some(Ok(list)) = self.keys.as_ref().map(|keys| signed.verify_by(keys)) else {
            return;
        };
        if self.revoked.as_ref().is_none_or(|known| list.is_newer_than(known)) {
            self.revoked = Some(list.clone());
        }
    }
}

impl Handler for IndexActor {
    type Message = ToIndex;

    fn handle(&mut self, message: ToIndex, _: usize) {
        match message {
            ToIndex::Request(sender, op, payload, reply) => self.serve(sender, op, &payload, reply),
            ToIndex::Keys(list) => self.learn_keys(&list),
            ToIndex::Revoked(list) => self.learn_revoked(&list),
            ToIndex::Sweep => self.listings.sweep(now_ms()),
        }
    }
}

fn check_sender(sender: Option<PeerId>, supplier: PeerId) -> Result<(), Problem> {
    if sender == Some(supplier) {
        Ok(())
    } else {
        Err(Problem::new(Kind::NotForMe, "the subject names another peer than the supplier"))
    }
}
