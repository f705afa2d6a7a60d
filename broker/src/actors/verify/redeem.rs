//! Checking a batch: every claim's grant and word, before the writer compares ranges and adds numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use netpay_ledger::command::{Action, Command, Request};
use netpay_ledger::event::{Event, RedeemedClaim};
use netpay_ledger::record::Record;
use netpay_ledger::rows::{AccountRow, EcoinRow};
use netpay_ledger::verify;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{Digest, PeerId, RequestId};
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::Redeem;
use netpay_protocol::problem::Problem;
use netpay_protocol::redemption::{Head, Line, RedemptionBatch, Statement};

use super::Desk;
use crate::actors::ledger::{Order, Outcome, Settled};
use crate::actors::refusals::{again, check_broker, rejected};
use crate::ports::{Reply, now_ms};

pub(super) fn serve(desk: &Arc<Desk>, message: Redeem, reply: Reply) {
    let (payee, request, digest) = {
        let batch = &message.batch.content;
        (batch.payee, batch.request, batch.digest())
    };
    match prepare(desk, message, digest) {
        Err(problem) => reply.problem(problem),
        Ok(Prepared::Before(record)) => reply.result(desk.statement_of(&record, payee)),
        Ok(Prepared::New(command)) => {
            let at = Arc::clone(desk);
            let answer = move |settled: Settled| {
                let lines = match settled.outcome {
                    Ok(Outcome::Recorded(record)) => lines_of(&record),
                    Ok(Outcome::Unchanged(lines)) => Some(lines),
                    Ok(Outcome::Repeated(_)) => None,
                    Err(rejection) => return reply.problem(rejected(&rejection)),
                };
                let Some(lines) = lines else {
                    return reply.problem(again());
                };
                let balance = settled.balance.unwrap_or(Units::ZERO);
                reply.message(&at.statement(payee, (request, digest), lines, balance, settled.head));
            };
            if let Err(problem) = desk.order(Order { command: *command, answer: Box::new(answer) }) {
                tracing::debug!("batch not taken: {problem}");
            }
        }
    }
}

enum Prepared {
    Before(Box<Record>),
    New(Box<Command>),
}

fn prepare(desk: &Desk, message: Redeem, digest: Digest) -> Result<Prepared, Problem> {
    let Redeem { batch, register, .. } = message;
    check_broker::<RedemptionBatch>(batch.content.broker, desk.broker())?;
    let payee = batch.content.payee;
    let signer = desk.signer(payee, &batch, register)?;
    let request = Request { signer: payee, id: batch.content.request, digest };
    if let Some(record) = desk.outcome_of(&request)? {
        return Ok(Prepared::Before(Box::new(record)));
    }
    let mut ecoins: BTreeMap<_, Option<EcoinRow>> = BTreeMap::new();
    let claims = batch.content.claims.into_iter().map(|claim| {
        let row = ecoins.entry(claim.ecoin()).or_insert_with_key(|ecoin| desk.row(ecoin));
        verify::check(claim, payee, row.as_ref().map(|row| &row.touchstone.content))
    });
    let action =
        Action::RedeemBatch { claims: claims.collect(), opening: signer.opening, payee, signed_by: signer.key };
    Ok(Prepared::New(Box::new(Command { request, action })))
}

/// The lines of a recorded batch.
fn lines_of(record: &Record) -> Option<Vec<Line>> {
    record.events.iter().find_map(|event| match event {
        Event::BatchRedeemed { claims, .. } => Some(claims.iter().map(RedeemedClaim::line).collect()),
        _ => None,
    })
}

impl Desk {
    /// The statement of a batch recorded before: its verdicts, with the present balance, position and head.
    pub(super) fn statement_of(&self, record: &Record, payee: PeerId) -> Result<Signed<Statement>, Problem> {
        let request = record.request.ok_or_else(again)?;
        let lines = lines_of(record).ok_or_else(|| rejected(&netpay_ledger::Rejection::RequestIdReused))?;
        let balance = self.row::<AccountRow>(&payee).unwrap_or_default().balance;
        Ok(self.statement(payee, (request.id, request.digest), lines, balance, self.totals().head))
    }

    fn statement(
        &self,
        payee: PeerId,
        (request, batch): (RequestId, Digest),
        lines: Vec<Line>,
        balance_units: Units,
        head: Head,
    ) -> Signed<Statement> {
        self.keys.sign_statement(Statement {
            broker: self.broker(),
            kid: self.keys.statement_kid(),
            incarnation: self.incarnation,
            payee,
            request,
            batch,
            issued_at_ms: now_ms(),
            lines,
            balance_units,
            head,
        })
    }
}
