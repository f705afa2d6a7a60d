//! The single writer. Everything waiting is decided against the running state, committed by one write, then answered.

use std::sync::Arc;
use std::time::Instant;

use netpay_crash_point::broker::Point;
use netpay_ledger::event::Event;
use netpay_ledger::record::Record;
use netpay_ledger::rejection::Rejection;
use netpay_ledger::{Action, Command, Decision, Facts, WorkingSet, apply, decide, load};
use netpay_planted::{self as planted, Fault};
use netpay_protocol::amounts::Units;
use netpay_protocol::problem::Problem;
use netpay_protocol::redemption::{Head, Line};

use super::clock::Clock;
use super::drained::Drained;
use super::refusals::{busy, not_known, not_leading, rejected};
use super::runtime::{Address, Full, Handler};
use crate::ports::journal::CommitError;
use crate::ports::{Journal, Observe, State, fail_stop};

/// Commands decided together, at most. Bounds the memory and the latency of one group.
const MAX_GROUP: usize = 256;

/// Called when a command has come to its end, on the writer's thread: it must be quick.
pub type Answer = Box<dyn FnOnce(Settled) + Send>;

/// A command, and what to do with its outcome.
pub struct Order {
    /// The command.
    pub command: Command,
    /// Called after the commit of its group.
    pub answer: Answer,
}

/// How a command ended. Travels between nodes when another one decided it.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
#[cbor(map)]
pub struct Settled {
    /// What came of it.
    #[n(0)]
    pub outcome: Result<Outcome, Problem>,
    /// The ledger's head after its group.
    #[n(1)]
    pub head: Head,
    /// The signer's balance after its group, if the signer has an account.
    #[n(2)]
    pub balance: Option<Units>,
}

impl Settled {
    /// Not carried out, or not known to be.
    pub fn problem(problem: Problem) -> Self {
        Self { outcome: Err(problem), head: Head::default(), balance: None }
    }
}

/// Passes an order to the writer. A full queue is an outcome, too.
pub fn send(writer: &Address<Order>, order: Order) {
    if let Err(Full(order)) = writer.try_send(order) {
        (order.answer)(Settled::problem(busy()));
    }
}

/// What comes of a command that is not rejected.
#[derive(Clone, PartialEq, Eq, Debug, minicbor::Encode, minicbor::Decode)]
pub enum Outcome {
    /// Recorded now.
    #[n(1)]
    Recorded(#[n(0)] Record),
    /// Recorded before, at this position (perhaps by the same group).
    #[n(2)]
    Repeated(#[n(0)] u64),
    /// A batch with nothing to record.
    #[n(3)]
    Unchanged(#[n(0)] Vec<Line>),
}

/// See the module.
pub struct LedgerActor {
    state: Arc<dyn State>,
    journal: Box<dyn Journal>,
    observe: Arc<dyn Observe>,
    clock: Arc<Clock>,
    drained: Arc<Drained>,
    waiting: Vec<Order>,
}

impl LedgerActor {
    /// The one writer of this journal.
    pub fn new(
        state: Arc<dyn State>,
        journal: Box<dyn Journal>,
        observe: Arc<dyn Observe>,
        clock: Arc<Clock>,
        drained: Arc<Drained>,
    ) -> Self {
        Self { state, journal, observe, clock, drained, waiting: Vec::new() }
    }

    fn commit_group(&mut self) {
        let since = Instant::now();
        if self.journal.lead().is_err() {
            return answer_all(self.waiting.drain(..).map(|order| order.answer), &not_leading());
        }
        if !self.clock.is_trusted() {
            // Before anything else of the group, so that no crash comes between: a restart would find a fresh last record.
            let command = Command { request: None, action: Action::DoubtClock };
            self.waiting.insert(0, Order { command, answer: Box::new(|_| {}) });
        }
        let (commands, answers): (Vec<_>, Vec<_>) =
            self.waiting.drain(..).map(|order| (order.command, order.answer)).unzip();
        let signers: Vec<_> = commands.iter().map(|command| command.request.map(|request| request.signer)).collect();
        let mut ws = load::for_commands(&&*self.state, &commands)
            .unwrap_or_else(|error| fail_stop("the ledger cannot be read", &error));
        // Never back: a request once called expired must not be carried out by a clock that was set back.
        let now_ms = self.clock.now_ms().max(ws.totals.recorded_at_ms);
        let facts = Facts {
            now_ms,
            incarnation: ws.totals.incarnation(),
            drained_to_ms: self.drained.to_ms(now_ms),
            clock_trusted: self.clock.is_trusted(),
        };
        let mut records = Vec::new();
        let outcomes: Vec<_> =
            commands.into_iter().map(|command| decide_one(&mut ws, &facts, command, &mut records)).collect();
        if !planted::is(Fault::AnsweredFirst) && !self.commit(&records, &ws, since) {
            return answer_all(answers, &not_known());
        }
        for ((outcome, answer), signer) in outcomes.into_iter().zip(answers).zip(signers) {
            let signer = signer.filter(|signer| ws.accounts.is_loaded(signer));
            let balance = signer.map(|signer| ws.accounts.get(&signer).map_or(Units::ZERO, |row| row.balance));
            let outcome = outcome.map_err(|rejection| rejected(&rejection));
            answer(Settled { outcome, head: ws.totals.head, balance });
        }
        if planted::is(Fault::AnsweredFirst) {
            self.commit(&records, &ws, since);
        }
    }

    /// Whether it is committed. If that is not known, nothing of it may be answered.
    fn commit(&mut self, records: &[Record], ws: &WorkingSet, since: Instant) -> bool {
        if records.is_empty() && planted::is(Fault::ReadUnconfirmed) {
            return true;
        }
        if !records.is_empty() {
            Point::JournalCommitting.reached();
        }
        match self.journal.commit(records, ws) {
            // Nothing is tried again and nothing is answered: see `Journal`.
            Err(CommitError::Failed(error)) if !planted::is(Fault::FailureIgnored) => {
                fail_stop("commit failed", &error)
            }
            Err(CommitError::Unknown(why)) if !planted::is(Fault::UnknownAnswered) => {
                tracing::warn!("{} records: {why}", records.len());
                return false;
            }
            _ => {}
        }
        if records.is_empty() {
            return true;
        }
        Point::JournalCommitted.reached();
        if records.iter().flat_map(|record| &record.events).any(|event| matches!(event, Event::ClockConfirmed { .. })) {
            self.clock.confirm();
        }
        self.observe.committed(&ws.totals, records.len(), since.elapsed());
        true
    }
}

/// The same problem for everybody.
fn answer_all(answers: impl IntoIterator<Item = Answer>, problem: &Problem) {
    for answer in answers {
        answer(Settled::problem(problem.clone()));
    }
}

fn decide_one(
    ws: &mut WorkingSet,
    facts: &Facts,
    command: Command,
    records: &mut Vec<Record>,
) -> Result<Outcome, Rejection> {
    let request = command.request;
    match decide(ws, facts, command)? {
        Decision::Record(events) => {
            let record = Record::following(ws.totals.head, facts, request, events);
            apply::record(ws, &record);
            records.push(record.clone());
            Ok(Outcome::Recorded(record))
        }
        Decision::Repeated { position } => Ok(Outcome::Repeated(position)),
        Decision::Unchanged(lines) => Ok(Outcome::Unchanged(lines)),
    }
}

impl Handler for LedgerActor {
    type Message = Order;

    fn handle(&mut self, order: Order, waiting: usize) {
        self.waiting.push(order);
        if waiting == 0 || self.waiting.len() >= MAX_GROUP {
            self.commit_group();
        }
    }
}
