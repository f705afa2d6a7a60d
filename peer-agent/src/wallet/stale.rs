//! Whether this wallet is a stale copy: the broker paid words of its e-coins that it never let go.
//!
//! Then another copy of it lives and grants, or this one was put back by hand; either way its next grant could spend a
//! word twice. Reads the store after the broker's answer came: a grant is on disk before its words leave, so whatever
//! was redeemed by then is known to the wallet that granted it.

use netpay_protocol::amounts::WordCount;
use netpay_protocol::ids::EcoinId;
use netpay_protocol::query::OwnEcoin;
use netpay_protocol::runs::{self, Run};

use super::locking;
use crate::ports::{Coins, Slots, Stored};
use crate::till::accepting::merged;

/// Words that were paid, and that this wallet never let go to that payee.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Foreign {
    /// The e-coin.
    pub ecoin: EcoinId,
    /// How many words.
    pub words: WordCount,
}

/// Holds what the broker paid against what left this wallet. Nothing found: it is no stale copy as far as anybody knows.
/// What is locked already may well have been granted by another copy: that is why it is.
pub fn foreign_words(store: &(impl Coins + Slots), own: &[OwnEcoin]) -> Stored<Vec<Foreign>> {
    let mut found = Vec::new();
    for OwnEcoin { touchstone, paid } in own {
        if locking::is_locked(store, &touchstone.content)? {
            continue;
        }
        let ecoin = touchstone.content.ecoin;
        let grants = store.grants(ecoin)?;
        let mut foreign: Vec<Run> = Vec::new();
        for paid in paid {
            let to_payee = grants.iter().filter(|own| own.payee == paid.payee);
            let left = merged(to_payee.filter_map(|own| Run::new(own.grant.from, own.through)));
            foreign.extend(paid.run.without(&left));
        }
        if !foreign.is_empty() {
            found.push(Foreign { ecoin, words: runs::count(&foreign) });
        }
    }
    Ok(found)
}
