//! Other keys for a peer, and the broker's word on which key is a peer's.
//!
//! The new keys are checked here, the rest by the writer. There is nothing to prepare, and no secret passes through here.

use std::sync::Arc;

use netpay_crash_point::broker::Point;
use netpay_ledger::command::{Action, Command, Request, Rotation};
use netpay_ledger::rejection::Rejection;
use netpay_ledger::rows::AccountRow;
use netpay_protocol::certificate::Certificate;
use netpay_protocol::ids::PeerId;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::Rotate;
use netpay_protocol::problem::Problem;
use netpay_protocol::register::RotateKeys;

use super::Desk;
use crate::actors::ledger::{Order, Settled};
use crate::actors::refusals::{check_broker, not_rotated, rejected};
use crate::ports::{Reply, now_ms};

pub(super) fn serve(desk: &Arc<Desk>, message: Rotate, reply: Reply) {
    let peer = message.order.content.peer;
    match prepare(desk, message) {
        Err(problem) => reply.problem(problem),
        Ok(None) => reply.result(desk.certificate(peer)),
        Ok(Some(command)) => {
            let at = Arc::clone(desk);
            Point::RotateChecked.reached();
            let answer = move |settled: Settled| {
                Point::RotateAnswering.reached();
                match settled.outcome {
                    Err(problem) => reply.problem(problem),
                    Ok(_) => reply.result(at.certificate(peer)),
                }
            };
            desk.order(Order { command: *command, answer: Box::new(answer) });
        }
    }
}

/// The writer's command, unless these very bytes came before. There is no registration that could open an account here:
/// one that is not open has no key to give up.
fn prepare(desk: &Desk, message: Rotate) -> Result<Option<Box<Command>>, Problem> {
    let Rotate { order, register } = message;
    check_broker::<RotateKeys>(order.content.broker, desk.broker())?;
    let request = Request { signer: order.content.peer, id: order.content.request, digest: order.content.digest() };
    let (signer, before) = desk.asked(&request, &order, None)?;
    if before.is_some() {
        return Ok(None);
    }
    let rotation = Rotation::check(order, register, signer.key).map_err(|why| not_rotated(&why))?;
    let action = Action::RotatePeerKeys(Box::new(rotation));
    Ok(Some(Box::new(Command { request: Some(request), action })))
}

impl Desk {
    /// That the account's present key speaks for this peer.
    pub(super) fn certificate(&self, peer: PeerId) -> Result<Signed<Certificate>, Problem> {
        let row = self.row::<AccountRow>(&peer).unwrap_or_default();
        let opened = row.opened.ok_or_else(|| rejected(&Rejection::AccountUnknown))?;
        let given_up = row.former_keys.map_or(0, |keys| keys.len());
        Ok(self.keys.sign_statement(Certificate {
            broker: self.broker(),
            kid: self.keys.statement_kid(),
            peer,
            signing_key: opened.register.content.signing_key,
            given_up: u32::try_from(given_up).unwrap_or(u32::MAX),
            issued_at_ms: now_ms(),
        }))
    }
}
