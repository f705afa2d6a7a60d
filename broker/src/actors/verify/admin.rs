//! Operators' orders: signed by a key that the configuration lists, alive, for this broker, on their own subject.

use std::sync::Arc;

use netpay_crash_point::broker::Point;
use netpay_ledger::command::{Action, Command, DebtKey, Request};
use netpay_protocol::admin::{Admin, LedgerView, Order as Said};
use netpay_protocol::ids::{Digest, Kid, PeerId};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::{MAX_REASON_BYTES, MAX_REFERENCE_BYTES, MAX_REQUEST_LIFE_MS};
use netpay_protocol::payout::PayoutKey;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::query::Answer;
use netpay_protocol::wire;

use super::Desk;
use crate::actors::ledger::{Order, Settled};
use crate::actors::refusals::check_broker;
use crate::actors::views;
use crate::keys::operator_id;
use crate::ports::{Reply, now_ms};

pub(super) fn serve(desk: &Arc<Desk>, op: &str, admin: Signed<Admin>, reply: Reply) {
    let digest = admin.content.digest();
    let (said, key) = match check(desk, op, &admin) {
        Ok(checked) => checked,
        Err(problem) => return reply.problem(problem),
    };
    let Some((action, about)) = action(&said, admin.clone()) else {
        let answer = check_life(&admin.content).and_then(|()| read(desk, &said, digest));
        return reply.result(answer);
    };
    let request = Request { signer: operator_id(&key), id: admin.content.request, digest };
    let at = Arc::clone(desk);
    Point::AdminChecked.reached();
    let answer = move |settled: Settled| {
        Point::AdminAnswering.reached();
        match settled.outcome {
            Err(problem) => reply.problem(problem),
            Ok(_) => reply.result(match about {
                About::Account(peer) => at.account_answer(peer, digest),
                About::Payout(payout) => at.payout_answer(payout, digest),
                About::Ledger => Ok(at.keys.answer(digest, now_ms(), &at.ledger_view())),
            }),
        }
    };
    desk.order(Order { command: Command { request: Some(request), action }, answer: Box::new(answer) });
}

fn check(desk: &Desk, op: &str, admin: &Signed<Admin>) -> Result<(Said, PublicKey), Problem> {
    let content = &admin.content;
    check_broker::<Admin>(content.broker, desk.broker())?;
    let refuse = |text: &str| Problem::new(Kind::BadSignature, text);
    let key = desk.operators.iter().find(|key| Kid::of(key) == content.kid);
    let key =
        *key.ok_or_else(|| refuse("not an operator of this broker; its configuration lists the operators' keys"))?;
    admin.verify(&key).map_err(|_| refuse("the order is not signed by the operator it names"))?;
    let said: Said = wire::decode(&content.order).map_err(|error| Problem::new(Kind::Malformed, error.to_string()))?;
    if said.op() != op {
        return Err(Problem::new(Kind::NotForMe, "the order is another than its subject says"));
    }
    if !texts_fit(&said) {
        let text = format!("a reference has 1 to {MAX_REFERENCE_BYTES} bytes, a reason at most {MAX_REASON_BYTES}");
        return Err(Problem::new(Kind::TooLarge, text));
    }
    Ok((said, key))
}

/// What the answer to an order shows, as it stands then.
enum About {
    Account(PeerId),
    Payout(PayoutKey),
    Ledger,
}

/// The command of an order that changes something, and what its answer shows.
fn action(said: &Said, admin: Signed<Admin>) -> Option<(Action, About)> {
    let order = Box::new(admin);
    Some(match said.clone() {
        Said::Credit { peer, amount, reference } => {
            (Action::CreditFunds { order, peer, amount, reference }, About::Account(peer))
        }
        Said::Suspend { peer, .. } => (Action::SuspendAccount { order, peer }, About::Account(peer)),
        Said::Reinstate { peer, .. } => (Action::ReinstateAccount { order, peer }, About::Account(peer)),
        Said::SettleDebt { debtor, creditor, ecoin } => {
            (Action::SettleDebt { order, debt: DebtKey { debtor, creditor, ecoin } }, About::Account(debtor))
        }
        Said::SettlePayout { payout, reference } => {
            (Action::SettlePayout { order, payout, reference }, About::Payout(payout))
        }
        Said::FailPayout { payout, reason } => (Action::FailPayout { order, payout, reason }, About::Payout(payout)),
        Said::Reconcile { .. } => (Action::Reconcile { order }, About::Ledger),
        Said::ConfirmClock { .. } => (Action::ConfirmClock { order }, About::Ledger),
        Said::Backup {}
        | Said::ListPayouts { .. }
        | Said::ListAccounts { .. }
        | Said::ShowAccount { .. }
        | Said::ShowEcoin { .. }
        | Said::ListDoubleSpends { .. } => return None,
    })
}

/// Reads only: that the time of an order that changes something is over is said by the writer, who knows its outcome.
fn check_life(content: &Admin) -> Result<(), Problem> {
    let now_ms = now_ms();
    if now_ms > content.valid_until_ms || content.valid_until_ms - now_ms > MAX_REQUEST_LIFE_MS {
        let text = "the question's time is over, or longer than 24 hours; sign a new one (are the clocks right?)";
        return Err(Problem::new(Kind::RequestExpired, text));
    }
    Ok(())
}

fn read(desk: &Desk, said: &Said, about: Digest) -> Result<Signed<Answer>, Problem> {
    let state = &*desk.state;
    let now = now_ms();
    match said {
        Said::ListAccounts { after } => Ok(desk.keys.answer(about, now, &desk.read(views::accounts(state, *after)))),
        Said::ShowAccount { peer } => desk.account_answer(*peer, about),
        Said::ShowEcoin { ecoin } => {
            let view = desk.read(views::ecoin(state, *ecoin)).ok_or_else(|| not_found("e-coin"))?;
            Ok(desk.keys.answer(about, now, &view))
        }
        Said::ListDoubleSpends { after } => {
            Ok(desk.keys.answer(about, now, &desk.read(views::double_spends(state, *after))))
        }
        Said::Backup {} => desk.copy_ledger(about),
        Said::ListPayouts { after } => Ok(desk.keys.answer(about, now, &desk.read(views::payouts(state, *after)))),
        other => Err(Problem::new(Kind::Malformed, format!("{} changes something", other.op()))),
    }
}

impl Desk {
    fn ledger_view(&self) -> LedgerView {
        let totals = self.totals();
        LedgerView {
            incarnation: totals.incarnation(),
            restored_from: totals.restored.map(|restored| restored.head),
            clock_trusted: self.clock.is_trusted(),
            head: totals.head,
        }
    }

    /// Makes the copy that a backup is made of. The head is read first: what was committed then is in the copy.
    fn copy_ledger(&self, about: Digest) -> Result<Signed<Answer>, Problem> {
        let view = self.ledger_view();
        self.copies.copy_beside().map_err(|error| {
            Problem::new(Kind::Conflict, format!("the ledger cannot be copied beside its place: {error}"))
        })?;
        Ok(self.keys.answer(about, now_ms(), &view))
    }

    /// An account as it stands now, in answer to the order with this digest.
    fn account_answer(&self, peer: PeerId, about: Digest) -> Result<Signed<Answer>, Problem> {
        let view = self.account_view(peer).ok_or_else(|| not_found("account"))?;
        Ok(self.keys.answer(about, now_ms(), &view))
    }
}

fn not_found(what: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("no such {what}"))
}

/// Whether an order's texts are within their limits.
fn texts_fit(said: &Said) -> bool {
    match said {
        Said::Credit { reference, .. } | Said::SettlePayout { reference, .. } => {
            (1..=MAX_REFERENCE_BYTES).contains(&reference.len())
        }
        Said::Suspend { reason, .. }
        | Said::Reinstate { reason, .. }
        | Said::FailPayout { reason, .. }
        | Said::Reconcile { reason }
        | Said::ConfirmClock { reason } => reason.len() <= MAX_REASON_BYTES,
        _ => true,
    }
}
