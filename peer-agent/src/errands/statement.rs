//! Asking the broker for a statement that this peer does not hold: its answer was lost, or it is another machine's.
//!
//! If it answers the batch that is open, it settles it, just as if it had come in time.

use netpay_protocol::ids::RequestId;
use netpay_protocol::key_list::Purpose;
use netpay_protocol::layout::Signed;
use netpay_protocol::query::Question;
use netpay_protocol::redemption::{RedemptionBatch, Statement};
use netpay_protocol::wire;

use crate::errands::{Errands, Error};
use crate::ports::{Batches as _, Broker, CallError};

impl<B: Broker> Errands<'_, B> {
    /// The statement of a batch, from the broker; with the batch, if it is held. Settles the open batch if it answers it.
    pub async fn statement(&self, request: RequestId) -> Result<(Option<RedemptionBatch>, Signed<Statement>), Error> {
        let (_, bytes) = self.ask(Question::Statement(request)).await?;
        let statement: Signed<Statement> =
            wire::decode(&bytes).map_err(|error| Error::Call(CallError::Unreadable(error.to_string())))?;
        let (open, held) = self.store.read(|tx| Ok::<_, Error>((tx.open_batch()?, tx.batch(request)?)))?;
        if let Some(open) = open.filter(|open| open.content.request == request) {
            self.settle(&open, statement.clone()).await?;
            return Ok((Some(open.content), statement));
        }
        let s = &statement.content;
        let keys = self.keys().await?;
        let signed = keys.find(s.kid, Purpose::Statement, s.issued_at_ms);
        let mine = (s.broker, s.payee, s.request) == (self.broker, self.me.peer(), request);
        let answers = held.as_ref().is_none_or(|held| s.answers(&held.content).is_ok());
        let forged = signed.is_none_or(|key| statement.verify(&key).is_err());
        if forged || !mine || !answers {
            return Err(Error::NotBelieved("the statement is not the pinned broker's, or about another batch".into()));
        }
        Ok((held.map(|held| held.content), statement))
    }
}
