//! The errand for one's own e-coins: to lock a wallet, and to find out whether it is a stale copy.
//!
//! The answer comes in pages, each signed by the broker and about its own question. It changes nothing at the broker.

use std::time::Duration;

use netpay_crash_point::agent::Point;
use netpay_protocol::admin::Page;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::EcoinId;
use netpay_protocol::key_list::Purpose;
use netpay_protocol::limits::HOUR_MS;
use netpay_protocol::query::{OwnEcoin, Question};

use super::{Errands, Error};
use crate::ports::{Broker, Entry, History as _, Slot, Slots as _};
use crate::wallet::locking::{self, Locked, Own};
use crate::wallet::stale;

/// How long buying or downloading waits for the check in passing.
const IN_PASSING: Duration = Duration::from_secs(1);

fn not_believed<T>(why: &str) -> Result<T, Error> {
    Err(Error::NotBelieved(why.into()))
}

impl<B: Broker> Errands<'_, B> {
    /// All e-coins of this peer's that the broker did not refund, and its time: the latest of all the pages.
    pub async fn own_ecoins(&self) -> Result<Own, Error> {
        let mut own = Own { at_ms: 0, ecoins: Vec::new() };
        let mut after = EcoinId([0; 16]);
        loop {
            let (at_ms, page) = self.own_page(after).await?;
            own.at_ms = own.at_ms.max(at_ms);
            if page.more && page.items.is_empty() {
                return not_believed("the broker's list of e-coins has an empty page");
            }
            for item in page.items {
                let id = item.touchstone.content.ecoin;
                // In rising order, so that no page can be given twice and the pages end.
                if id <= after {
                    return not_believed("the broker's list of e-coins is out of order");
                }
                self.check_own(&item).await?;
                after = id;
                own.ecoins.push(item);
            }
            if !page.more {
                return Ok(own);
            }
        }
    }

    async fn own_page(&self, after: EcoinId) -> Result<(u64, Page<OwnEcoin>), Error> {
        Point::EcoinsAsking.reached();
        let (about, bytes) = self.ask(Question::Ecoins(after)).await?;
        Point::EcoinsAnswered.reached();
        self.believed_at(&bytes, about).await
    }

    /// An e-coin in the list is ours, and the broker's touchstone stands.
    async fn check_own(&self, own: &OwnEcoin) -> Result<(), Error> {
        let t = &own.touchstone.content;
        let key = self.keys().await?.find(t.kid, Purpose::Touchstone, t.issued_at_ms);
        let signed = key.is_some_and(|key| own.touchstone.verify(&key).is_ok());
        if signed && t.broker == self.broker && t.payer == self.me.peer() {
            return Ok(());
        }
        not_believed("the broker's list has an e-coin that is not this peer's")
    }

    /// Asks, and locks everything issued up to the broker's answer.
    pub async fn lock_wallet(&self) -> Result<Locked, Error> {
        let own = self.own_ecoins().await?;
        let now_ms = (self.now_ms)();
        let locked = self.store.write(|tx| {
            tx.put_slot(Slot::CopyChecked, &now_ms.to_be_bytes())?;
            locking::lock(tx, &own, "restored", now_ms)
        })?;
        Point::WalletLocked.reached();
        Ok(locked)
    }

    /// Asks, and holds what the broker paid against what left this wallet; a stale copy is locked.
    pub async fn check_copy(&self) -> Result<(), Error> {
        let own = self.own_ecoins().await?;
        let now_ms = (self.now_ms)();
        // The commit must not be undone by the news: an error within it would be.
        let words = self.store.write(|tx| {
            tx.put_slot(Slot::CopyChecked, &now_ms.to_be_bytes())?;
            let foreign = stale::foreign_words(tx, &own.ecoins)?;
            if foreign.is_empty() {
                return Ok(0);
            }
            for foreign in &foreign {
                tx.note(Entry {
                    at_ms: now_ms,
                    what: "stale_copy".into(),
                    with: None,
                    ecoin: Some(foreign.ecoin),
                    units: Units::ZERO,
                    reference: None,
                    note: format!("{} words were redeemed that this wallet never paid out", foreign.words),
                })?;
            }
            locking::lock(tx, &own, "a stale copy", now_ms)?;
            Ok::<_, Error>(foreign.iter().map(|foreign| u64::from(foreign.words.0)).sum())
        })?;
        if words == 0 { Ok(()) } else { Err(Error::StaleCopy(words)) }
    }

    /// The same in passing: at most once an hour, and without waiting for a broker that is away.
    pub async fn check_copy_in_passing(&self) -> Result<(), Error> {
        let checked = self.store.read(|tx| locking::time(tx, Slot::CopyChecked))?;
        let now_ms = (self.now_ms)();
        if checked.is_some_and(|at| at <= now_ms && now_ms - at < HOUR_MS) {
            return Ok(());
        }
        match tokio::time::timeout(IN_PASSING, self.check_copy()).await {
            Ok(Err(error @ (Error::StaleCopy(_) | Error::Store(_)))) => Err(error),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the broker could not be asked for this wallet's e-coins");
                Ok(())
            }
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}
