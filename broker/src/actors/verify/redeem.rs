//! Checking a batch: every claim's grant and word, before the writer compares ranges and adds numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use netpay_crash_point::broker::Point;
use netpay_ledger::command::{Action, Command, OpenAccount, Request};
use netpay_ledger::event::{Event, RedeemedClaim};
use netpay_ledger::record::{Record, hash};
use netpay_ledger::rows::{AccountRow, EcoinRow};
use netpay_ledger::verify::{self, CheckedClaim};
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{Digest, PeerId, RequestId};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::Redeem;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::redemption::{Head, Line, RedemptionBatch, Statement};

use super::Desk;
use super::restore::Lost;
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
        Ok(Prepared::Nothing(statement)) => reply.message(&*statement),
        Ok(Prepared::New(New { request: id, lost, claims, costs, opening, signed_by })) => {
            let at = Arc::clone(desk);
            Point::RedeemChecked.reached();
            let answer = move |settled: Settled| {
                Point::RedeemAnswering.reached();
                let lines = match settled.outcome {
                    Ok(Outcome::Recorded(record)) => lines_of(&record),
                    Ok(Outcome::Unchanged(lines)) => Some(lines),
                    Ok(Outcome::Repeated(_)) => None,
                    Err(problem) => return reply.problem(problem),
                };
                let Some(lines) = lines else {
                    return reply.problem(again());
                };
                at.budget.charge(payee, wasted(&lines, &costs));
                let balance = settled.balance.unwrap_or(Units::ZERO);
                reply.message(&at.statement(payee, (request, digest), lines, balance, settled.head));
            };
            let at = Arc::clone(desk);
            desk.restore_first(payee, lost, claims, move |claims| match claims {
                Err(problem) => answer(Settled::problem(problem)),
                Ok(claims) => {
                    let action = Action::RedeemBatch { claims, opening, payee, signed_by };
                    at.order(Order { command: Command { request: Some(id), action }, answer: Box::new(answer) });
                }
            });
        }
    }
}

enum Prepared {
    Before(Box<Record>),
    Nothing(Box<Signed<Statement>>),
    New(New),
}

/// A batch for the writer.
struct New {
    request: Request,
    /// E-coins to be taken in before: the ledger is a restored backup.
    lost: Lost,
    claims: Vec<CheckedClaim>,
    /// What checking each claim has cost.
    costs: Vec<u64>,
    opening: Option<OpenAccount>,
    signed_by: PublicKey,
}

fn prepare(desk: &Desk, message: Redeem, digest: Digest) -> Result<Prepared, Problem> {
    let Redeem { batch, register, touchstones } = message;
    check_broker::<RedemptionBatch>(batch.content.broker, desk.broker())?;
    let payee = batch.content.payee;
    let request = Request { signer: payee, id: batch.content.request, digest };
    let (signer, before) = desk.asked(&request, &batch, register)?;
    if let Some(record) = before {
        return Ok(Prepared::Before(Box::new(record)));
    }
    desk.check_seen(batch.content.seen)?;
    desk.budget.check(payee)?;
    let lost = desk.lost_ecoins(payee, &batch.content.claims, touchstones)?;
    let mut ecoins: BTreeMap<_, Option<EcoinRow>> = BTreeMap::new();
    let claims = batch.content.claims.into_iter().map(|claim| {
        let row = ecoins.entry(claim.ecoin()).or_insert_with_key(|ecoin| desk.row(ecoin));
        let known = row.as_ref().map(|row| &row.touchstone.content);
        let touchstone = known.or_else(|| lost.get(&claim.ecoin()).map(|(touchstone, _)| &touchstone.content));
        verify::check(claim, payee, touchstone)
    });
    let claims: Vec<_> = claims.collect();
    let lost = desk.with_proof(payee, lost, &claims);
    desk.budget.charge(payee, cost_of_refused(&claims));
    let lines: Option<Vec<_>> = claims.iter().map(|claim| claim.refused().map(Line::refused)).collect();
    if let Some(lines) = lines {
        // Nothing for the writer to decide: it would record nothing.
        let (balance, head) = desk.balance_at(payee);
        return Ok(Prepared::Nothing(Box::new(desk.statement(payee, (request.id, digest), lines, balance, head))));
    }
    let costs = claims.iter().map(CheckedClaim::cost).collect();
    Ok(Prepared::New(New { request, lost, claims, costs, opening: signer.opening, signed_by: signer.key }))
}

/// What checking the claims cost that will credit nothing.
fn cost_of_refused(claims: &[CheckedClaim]) -> u64 {
    claims.iter().filter(|claim| claim.refused().is_some()).map(CheckedClaim::cost).sum()
}

/// What checking those proven claims cost that credited nothing after all.
fn wasted(lines: &[Line], costs: &[u64]) -> u64 {
    let nothing = |line: &Line| line.verdict.settles() && line.credited.0 == 0;
    lines.iter().zip(costs).filter(|(line, _)| nothing(line)).map(|(_, cost)| *cost).sum()
}

/// The lines of a recorded batch.
fn lines_of(record: &Record) -> Option<Vec<Line>> {
    record.events.iter().find_map(|event| match event {
        Event::BatchRedeemed { claims, .. } => Some(claims.iter().map(RedeemedClaim::line).collect()),
        _ => None,
    })
}

impl Desk {
    /// Whether our log contains the head that the peer has seen. If not, this broker was restored from an older copy.
    fn check_seen(&self, seen: Head) -> Result<(), Problem> {
        let known = || self.read(self.state.record(seen.position)).map(|bytes| hash(&bytes));
        if seen.position == 0 || known() == Some(seen.hash) {
            return Ok(());
        }
        let text = format!(
            "this broker's log does not contain the record {} that you have seen; keep all you hold",
            seen.position
        );
        Err(Problem::new(Kind::Fork, text))
    }

    /// A balance and the head that it belongs to, read together while the writer goes on.
    fn balance_at(&self, peer: PeerId) -> (Units, Head) {
        loop {
            let head = self.totals().head;
            let balance = self.row::<AccountRow>(&peer).unwrap_or_default().balance;
            if self.totals().head == head {
                return (balance, head);
            }
        }
    }

    /// The statement of a batch recorded before: its verdicts, with the present balance, position and head.
    pub(super) fn statement_of(&self, record: &Record, payee: PeerId) -> Result<Signed<Statement>, Problem> {
        let request = record.request.ok_or_else(again)?;
        let lines = lines_of(record).ok_or_else(|| rejected(&netpay_ledger::Rejection::RequestIdReused))?;
        let (balance, head) = self.balance_at(payee);
        Ok(self.statement(payee, (request.id, request.digest), lines, balance, head))
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
