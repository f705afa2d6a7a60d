//! The errand of a payout: what [`paying_out`] prepared is carried to the broker, and its answer brought back.
//!
//! Apart from the other errands because it is the only one that takes money out. Knows the broker as a port only.

use netpay_crash_point::agent::Point;
use netpay_protocol::admin::Page;
use netpay_protocol::ids::RequestId;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::Withdrawal;
use netpay_protocol::payout::{PayoutView, RequestPayout};
use netpay_protocol::query::Question;
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::wire;

use crate::errands::{Errands, Error};
use crate::ports::{Broker, CallError, OwnPayout, Payouts as _, PurchaseState, Slot, Slots as _};
use crate::wallet::paying_out::{self, Wish};
use crate::wallet::refusals;

impl From<paying_out::Error> for Error {
    fn from(error: paying_out::Error) -> Self {
        match error {
            paying_out::Error::Store(error) => Self::Store(error),
            error => Self::NotBelieved(error.to_string()),
        }
    }
}

/// A payout that the broker debited.
#[derive(Debug)]
pub struct Withdrawn {
    /// The broker's word.
    pub view: PayoutView,
    /// Whether it had been asked for before, by a command that heard no answer.
    pub again: bool,
}

impl<B: Broker> Errands<'_, B> {
    /// Has money paid out: stores the signed request, then sends it until it is answered. One that is open for the same
    /// money to the same place is finished instead.
    pub async fn pay_out(&self, wish: &Wish, request: RequestId) -> Result<Withdrawn, Error> {
        let order = || {
            let now_ms = (self.now_ms)();
            self.store.write(|tx| paying_out::order(tx, self.me, self.broker, request, wish, now_ms))
        };
        let (payout, again) = order()?;
        Point::PayoutKept.reached();
        match self.withdraw(&payout).await {
            Ok(view) => Ok(Withdrawn { view, again }),
            // Its time is over, and it will never be carried out: only now may another one ask for the same money.
            Err(Error::Rejected(_)) if again && self.is_dropped(&payout)? => {
                let (payout, again) = order()?;
                Ok(Withdrawn { view: self.withdraw(&payout).await?, again })
            }
            Err(error) => Err(error),
        }
    }

    /// Sends the payouts again that may still be carried out unheard.
    pub async fn resume_payouts(&self) -> Result<Vec<Result<PayoutView, Error>>, Error> {
        let now_ms = (self.now_ms)();
        let mut results = Vec::new();
        for payout in self.store.read(|tx| paying_out::to_send(tx, now_ms))? {
            match self.withdraw(&payout).await {
                Err(Error::Call(error)) => return Err(Error::Call(error)),
                result => results.push(result),
            }
        }
        Ok(results)
    }

    /// This peer's payouts as the broker has them, all pages; they are kept. Answers what the wallet knows then.
    pub async fn payouts(&self) -> Result<Vec<OwnPayout>, Error> {
        let mut after = RequestId::default();
        loop {
            let (about, bytes) = self.ask(Question::Payouts(after)).await?;
            let page: Page<PayoutView> = self.believed(&bytes, about).await?;
            for view in &page.items {
                if view.peer != self.me.peer() || view.request <= after {
                    return Err(Error::NotBelieved("the broker's list of payouts is not this peer's, in order".into()));
                }
                after = view.request;
            }
            let now_ms = (self.now_ms)();
            self.store.write(|tx| page.items.iter().try_for_each(|view| paying_out::take(tx, view, now_ms)))?;
            if !page.more || page.items.is_empty() {
                return Ok(self.store.read(|tx| tx.payouts())?);
            }
        }
    }

    async fn withdraw(&self, payout: &Signed<RequestPayout>) -> Result<PayoutView, Error> {
        let message = |register| wire::encode(&Withdrawal { payout: payout.clone(), register });
        match self.with_keys(BrokerOp::Payout, self.register_if_unknown()?, message).await {
            Ok(bytes) => {
                Point::PayoutAnswered.reached();
                let view: PayoutView = self.believed(&bytes, payout.content.digest()).await?;
                let now_ms = (self.now_ms)();
                self.store.write(|tx| {
                    tx.put_slot(Slot::KnownToLedger, b"yes")?;
                    paying_out::receive(tx, &payout.content, &view, now_ms)
                })?;
                Point::PayoutTaken.reached();
                Ok(view)
            }
            Err(CallError::Problem(problem)) => {
                let now_ms = (self.now_ms)();
                let (request, until_ms) = (payout.content.request, payout.content.valid_until_ms);
                // A no is not signed. The broker's list is: only what is not in it is given up.
                if refusals::state_after(&problem, until_ms, now_ms) == Some(PurchaseState::Dropped)
                    && let Some(held) = self.payouts().await?.into_iter().find(|held| held.request == request)
                    && let Some(view) = held.view
                {
                    return Ok(view);
                }
                self.store.write(|tx| paying_out::rejected(tx, &payout.content, &problem, now_ms))?;
                Err(CallError::Problem(problem).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn is_dropped(&self, payout: &Signed<RequestPayout>) -> Result<bool, Error> {
        let held = self.store.read(|tx| tx.payout(payout.content.request))?;
        Ok(held.is_some_and(|held| held.state == PurchaseState::Dropped))
    }
}
