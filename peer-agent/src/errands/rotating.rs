//! Other keys: the order is carried to the broker until its signed word says which key speaks for this peer.
//!
//! A problem proves nothing, because nobody signs it, and keys that the account took must not be forgotten for one. So after
//! a no the broker is asked whose the account is, under the present key and under the drawn one: it answers the right one.

use netpay_crash_point::agent::Point;
use netpay_protocol::certificate::Certificate;
use netpay_protocol::layout::Signed;
use netpay_protocol::query::Question;
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::wire;

use super::{Errands, Error, decode};
use crate::home::rotation::Pending;
use crate::ports::{Broker, CallError};
use crate::wallet::refusals;

/// What came of drawn keys.
#[derive(Debug)]
pub enum Rotated {
    /// The account took them.
    Taken(Box<Signed<Certificate>>),
    /// The order's time is over, and the account speaks with the present key.
    Lapsed,
}

impl<B: Broker> Errands<'_, B> {
    /// Has the account take the drawn keys. Sent again, it is the same order.
    pub async fn rotate(&self, pending: &Pending) -> Result<Rotated, Error> {
        let order = wire::encode(&pending.rotate(self.me, self.broker));
        let (certificate, no) = match self.patiently(BrokerOp::Rotate, order).await {
            Ok(bytes) => (decode(&bytes)?, None),
            Err(CallError::Problem(no)) if !no.kind.is_passing() => (self.whose(pending).await?, Some(no)),
            Err(error) => return Err(error.into()),
        };
        Point::RotateAnswered.reached();
        let key = self.certified(&certificate).await?;
        if key == pending.keys.signing.public() {
            return Ok(Rotated::Taken(Box::new(certificate)));
        }
        let (until_ms, now_ms) = (pending.valid_until_ms, (self.now_ms)());
        let is_over = refusals::is_over(until_ms, now_ms) && certificate.content.issued_at_ms > until_ms;
        match no {
            _ if key != self.me.signing.public() => Err(Error::NotBelieved(
                "the account speaks with keys that this home does not have: another copy of it changed them".into(),
            )),
            Some(_) if is_over => Ok(Rotated::Lapsed),
            Some(no) => Err(Error::Rejected(no)),
            None => Err(Error::NotBelieved("the broker answered a rotation with the key from before".into())),
        }
    }

    /// The broker's word on this peer's key, asked for with the present key, or else with the drawn one.
    async fn whose(&self, pending: &Pending) -> Result<Signed<Certificate>, Error> {
        let question = Question::Certificate(self.me.peer());
        let (about, bytes) = match self.ask(question).await {
            Err(Error::Rejected(_)) => {
                let drawn = self.me.copy().with_keys_of(pending.keys.copy());
                Errands { me: &drawn, ..*self }.ask(question).await?
            }
            answer => answer?,
        };
        self.believed(&bytes, about).await
    }

    /// The key in a certificate of this peer's, if the pinned broker signed it.
    async fn certified(&self, certificate: &Signed<Certificate>) -> Result<netpay_protocol::keys::PublicKey, Error> {
        let peer = self.me.peer();
        if certificate.key_of(peer, &self.keys().await?).is_err() {
            // A key that is newer than our list.
            self.refresh_lists().await?;
        }
        certificate.key_of(peer, &self.keys().await?).map_err(|why| Error::NotBelieved(why.to_string()))
    }
}
