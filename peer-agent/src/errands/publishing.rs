//! Leaving the open batch in the broker's inbox: for a peer that does not wait, or whose broker sleeps.
//!
//! It is the batch that a redemption would send, kept before it leaves and open until a statement answers it, whichever way
//! that comes. So a crash on either side of leaving it loses nothing, and whoever sends it again, either way, is paid once.

use netpay_crash_point::inbox::Point;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::Redeem;
use netpay_protocol::redemption::RedemptionBatch;
use netpay_protocol::wire;

use crate::errands::{Errands, patience};
use crate::ports::inbox::{Inbox, Left, NotLeft, Outbox as _};
use crate::ports::{CallError, StoreError};
use crate::till::redeeming::{self, Redeemer, Which};

/// Why nothing was left. The batch is kept, and open.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The inbox did not take it, or did not say so.
    #[error(transparent)]
    NotLeft(#[from] NotLeft),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<B: Inbox> Errands<'_, B> {
    /// Leaves the open batch, or a new one, in the inbox. `None` when there is nothing to redeem. Needs no broker.
    pub async fn publish(&self, which: Which) -> Result<Option<(Signed<RedemptionBatch>, Left)>, Error> {
        let who = Redeemer { me: self.me, broker: self.broker };
        let request = crate::home::identity::new_request();
        let kept = self.store.write(|tx| {
            if redeeming::is_restored(tx)? {
                redeeming::ask_again(tx, (self.now_ms)())?;
            }
            let batch = redeeming::batch(tx, &who, request, which, 0, (self.now_ms)())?;
            let Some((batch, _)) = batch else { return Ok(None) };
            let touchstones = redeeming::touchstones(tx, &batch.content)?;
            Ok::<_, StoreError>(Some((batch, touchstones)))
        })?;
        let Some((batch, touchstones)) = kept else { return Ok(None) };
        // Our keys go along in any case: nobody is there to say that they are needed.
        let register = Some(self.me.register(self.broker));
        let message = wire::encode(&Redeem { batch: batch.clone(), touchstones, register });
        let id = batch.content.digest().to_string();
        // Silence may mean that it is stored: it is left again under the same id.
        let again = async || match self.line.leave(message.clone(), &id).await {
            Err(NotLeft::Silence(why)) => Err(CallError::Silence(why)),
            told => Ok(told),
        };
        let left = patience::BROKER.ask(again).await.map_err(|error| NotLeft::Silence(error.to_string()))??;
        Point::Published.reached();
        self.store.write(|tx| tx.mark_published(batch.content.request, (self.now_ms)()))?;
        Ok(Some((batch, left)))
    }
}
