//! What a peer asks of its own account, and of another's key.

use netpay_crash_point::broker::Point;
use netpay_ledger::rows::{AccountRow, RequestRow};
use netpay_protocol::ids::{EcoinId, PeerId, RequestId};
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::Ask;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::query::{Answer, Query, Question};
use netpay_protocol::redemption::Statement;

use super::{Desk, Signer};
use crate::actors::refusals::check_broker;
use crate::actors::views::{self, account_view};
use crate::ports::{Reply, now_ms};

pub(super) fn serve(desk: &Desk, ask: &Ask, reply: Reply) {
    match check(desk, ask) {
        Err(problem) => reply.problem(problem),
        Ok(signer) => {
            Point::QuestionAnswering.reached();
            match ask.query.content.question {
                Question::Balance => reply.message(&balance(desk, &ask.query.content, &signer)),
                Question::Ecoins(after) => reply.message(&ecoins(desk, &ask.query.content, after)),
                Question::Payouts(after) => reply.message(&payouts(desk, &ask.query.content, after)),
                Question::Certificate(peer) => reply.result(certificate(desk, &ask.query.content, peer)),
                Question::Statement(request) => reply.result(statement(desk, &ask.query.content, request)),
            }
        }
    }
}

fn check(desk: &Desk, ask: &Ask) -> Result<Signer, Problem> {
    let query = &ask.query.content;
    check_broker::<Query>(query.broker, desk.broker())?;
    let signer = desk.signer(query.peer, &ask.query, ask.register.clone())?;
    let now_ms = now_ms();
    if now_ms > query.valid_until_ms {
        let text = format!("the question was valid until {} ms, it is {now_ms} ms", query.valid_until_ms);
        return Err(Problem::new(Kind::RequestExpired, text));
    }
    let position = desk.totals().head.position;
    if query.min_position > position {
        let text = format!("this node has reached position {position}, not yet {}", query.min_position);
        return Err(Problem::new(Kind::Unavailable, text));
    }
    Ok(signer)
}

fn balance(desk: &Desk, query: &Query, _: &Signer) -> Signed<Answer> {
    let nothing = || account_view(query.peer, &AccountRow::default(), &desk.totals());
    let view = desk.account_view(query.peer).unwrap_or_else(nothing);
    desk.keys.answer(query.digest(), now_ms(), &view)
}

/// For a wallet that comes back from a backup. It locks what was issued up to the answer's time, which is therefore read
/// after the rows, and is never before the last record's (a clock may have been set back).
fn ecoins(desk: &Desk, query: &Query, after: EcoinId) -> Signed<Answer> {
    let page = desk.read(views::own_ecoins(&*desk.state, query.peer, after));
    let issued_at_ms = now_ms().max(desk.totals().recorded_at_ms);
    desk.keys.answer(query.digest(), issued_at_ms, &page)
}

fn payouts(desk: &Desk, query: &Query, after: RequestId) -> Signed<Answer> {
    let page = desk.read(views::payouts_of(&*desk.state, query.peer, after));
    desk.keys.answer(query.digest(), now_ms(), &page)
}

fn certificate(desk: &Desk, query: &Query, peer: PeerId) -> Result<Signed<Answer>, Problem> {
    Ok(desk.keys.answer(query.digest(), now_ms(), &desk.certificate(peer)?))
}

fn statement(desk: &Desk, query: &Query, request: RequestId) -> Result<Signed<Statement>, Problem> {
    let row: Option<RequestRow> = desk.row(&(query.peer, request));
    let record = row.and_then(|row| desk.record(row.position));
    let nothing = || {
        let text = "no statement is kept for this batch (it changed nothing, or never came); send the batch again";
        Problem::new(Kind::NotFound, text)
    };
    desk.statement_of(&record.ok_or_else(nothing)?, query.peer).map_err(|_| nothing())
}
