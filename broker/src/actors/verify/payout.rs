//! Payouts: the peer's signature is checked here, everything else by the writer. There is nothing to prepare.

use std::sync::Arc;

use netpay_crash_point::broker::Point;
use netpay_ledger::command::{Action, Command, Request};
use netpay_protocol::ids::Digest;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::Withdrawal;
use netpay_protocol::payout::{PayoutKey, RequestPayout};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::query::Answer;

use super::Desk;
use crate::actors::ledger::{Order, Settled};
use crate::actors::refusals::check_broker;
use crate::actors::views;
use crate::ports::{Reply, now_ms};

pub(super) fn serve(desk: &Arc<Desk>, message: Withdrawal, reply: Reply) {
    let (payout, digest) = (message.payout.content.key(), message.payout.content.digest());
    match prepare(desk, message, digest) {
        Err(problem) => reply.problem(problem),
        Ok(None) => reply.result(desk.payout_answer(payout, digest)),
        Ok(Some(command)) => {
            let at = Arc::clone(desk);
            Point::PayoutChecked.reached();
            let answer = move |settled: Settled| {
                Point::PayoutAnswering.reached();
                match settled.outcome {
                    Err(problem) => reply.problem(problem),
                    Ok(_) => reply.result(at.payout_answer(payout, digest)),
                }
            };
            desk.order(Order { command: *command, answer: Box::new(answer) });
        }
    }
}

/// The writer's command, unless these very bytes came before.
fn prepare(desk: &Desk, message: Withdrawal, digest: Digest) -> Result<Option<Box<Command>>, Problem> {
    let Withdrawal { payout: order, register } = message;
    check_broker::<RequestPayout>(order.content.broker, desk.broker())?;
    let request = Request { signer: order.content.peer, id: order.content.request, digest };
    let (signer, before) = desk.asked(&request, &order, register)?;
    if before.is_some() {
        return Ok(None);
    }
    let action = Action::RequestPayout { opening: signer.opening, order: Box::new(order), signed_by: signer.key };
    Ok(Some(Box::new(Command { request: Some(request), action })))
}

impl Desk {
    /// A payout as it stands now, in answer to the order with this digest.
    pub(super) fn payout_answer(&self, payout: PayoutKey, about: Digest) -> Result<Signed<Answer>, Problem> {
        let view = self.read(views::payout(&*self.state, payout));
        let view = view.ok_or_else(|| Problem::new(Kind::NotFound, "no such payout"))?;
        Ok(self.keys.answer(about, now_ms(), &view))
    }
}
