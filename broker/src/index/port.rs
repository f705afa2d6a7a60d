//! The index as the actor sees it: messages in, problems out.

use netpay_protocol::ids::PeerId;
use netpay_protocol::keys::PublicKey;
use netpay_protocol::messages::{Announce, Hits, Search, TakeBack};
use netpay_protocol::problem::{Kind, Problem};

use super::{Error, IndexStore, Refused};
use crate::ports::Listings;

fn problem(error: &Error) -> Problem {
    let kind = match error {
        Error::Store(_) => Kind::Unavailable,
        Error::Refused(refused) => match refused {
            Refused::OtherBroker | Refused::NotTheSupplier => Kind::NotForMe,
            Refused::Malformed(_) => Kind::Malformed,
            Refused::BadSignature => Kind::BadSignature,
            Refused::Expired | Refused::FromTheFuture => Kind::RequestExpired,
            Refused::Stale => Kind::Conflict,
            Refused::TooManyListings | Refused::Full => Kind::Busy,
            Refused::TextTooLong => Kind::TooLarge,
        },
    };
    Problem::new(kind, error.to_string())
}

impl Listings for IndexStore {
    fn announce(&mut self, announce: &Announce, now_ms: u64) -> Result<(), Problem> {
        Self::announce(self, &announce.listing, &announce.key, now_ms).map_err(|error| problem(&error))
    }

    fn withdraw(&mut self, withdraw: &TakeBack, now_ms: u64) -> Result<(), Problem> {
        Self::withdraw(self, &withdraw.withdraw, &withdraw.key, now_ms).map_err(|error| problem(&error))
    }

    fn certify(&mut self, supplier: PeerId, key: PublicKey, given_up: u32) -> Result<(), Problem> {
        Self::certify(self, supplier, &key, given_up).map_err(|error| problem(&error))
    }

    fn search(&self, search: &Search, now_ms: u64, suspended: &dyn Fn(PeerId) -> bool) -> Result<Hits, Problem> {
        Self::search(self, &search.text, search.skip, search.limit, now_ms, suspended).map_err(|error| problem(&error))
    }

    fn sweep(&mut self, now_ms: u64) {
        if let Err(error) = Self::sweep(self, now_ms) {
            tracing::warn!("the index could not be swept: {error}");
        }
    }
}
