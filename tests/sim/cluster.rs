//! The cluster: what its nodes' journals answer their writers, and what the writers answer the clients.
//!
//! Everything is on one thread. A writer that is inside its journal is out of its slot, so that whoever is moved meanwhile
//! is another; nothing is locked while one of them works.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use netpay_broker::actors::clock::Clock;
use netpay_broker::actors::ledger::{LedgerActor, Order, Outcome, Settled};
use netpay_ledger::WorkingSet;
use netpay_ledger::event::Event;
use netpay_ledger::load::{self, Rows as _};
use netpay_ledger::memory::Memory;
use netpay_ledger::record::Record;
use netpay_protocol::ids::Digest;
use netpay_protocol::problem::{Kind, Problem};
use netpay_tests::campaign::{Dice, Tally};

use crate::books::Books;
use crate::clients::{Clients, START_MS, Told};
use crate::journal::{Applied as AppliedState, ModelJournal, Nobody};
use crate::raft::{self, Applied, Checks, Entry, NODES, Raft, lock};

/// How far the nodes' clocks are apart, at most.
pub const MOST_APART_MS: u64 = 2_000;

/// How the log may be wrong on purpose, to see that it is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// Who leads decides at once, whatever was committed before it.
    Unwaited,
    /// Who commits nothing is not asked whether it still leads.
    Unconfirmed,
    /// Records are applied wherever the head is.
    Unchecked,
    /// Records are applied in whatever term they were decided.
    Unfenced,
}

/// A question on its way: whose, and the newest position that anybody had been told of when it was sent.
pub struct Ticket {
    pub ask: Option<usize>,
    pub floor: u64,
}

/// How a proposal fares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is sent to whoever can be reached, and answered.
    Answered,
    /// It never reaches its node's log.
    Lost,
    /// It reaches that later, when its proposer has given up waiting.
    OnItsWay,
    /// It reaches no other log for now.
    InOneLog,
    /// It is committed, and its proposer does not hear of it.
    Unheard,
}

/// What became of a proposal.
#[derive(Clone, Copy, Default)]
struct Proposal {
    accepted: bool,
    unknown: bool,
}

/// See the module.
pub struct Cluster {
    sim: Mutex<Sim>,
    /// The writers that are not at work.
    pub writers: [Mutex<Option<LedgerActor>>; NODES],
    time_ms: Arc<AtomicU64>,
    began: Instant,
    /// How far each node's clock is ahead.
    ahead_ms: [u64; NODES],
}

/// What is in it beside the writers.
pub struct Sim {
    pub dice: Dice,
    pub tally: Arc<Tally>,
    pub raft: Raft,
    pub books: Books,
    pub clients: Clients,
    pub inboxes: [VecDeque<Order>; NODES],
    /// Nodes that died while their writer was at work.
    pub died: [bool; NODES],
    /// The first thing that was wrong.
    pub failure: Option<String>,
    pub depth: u32,
    pub leader: Option<usize>,
    /// The term in which each node's last `lead` returned.
    decides_in: [u64; NODES],
    /// The position that each node's last group was decided on.
    decided_on: [u64; NODES],
    /// Whether nothing goes wrong any more.
    pub calm: bool,
    /// How the next proposal fares, if that is not for the dice.
    pub fate: Option<Fate>,
    flaw: Option<Flaw>,
    truth: Memory,
    seen: usize,
    digests: BTreeMap<u64, Digest>,
    proposals: Vec<Proposal>,
}

impl Cluster {
    /// Three nodes on an empty log.
    pub fn new(mut dice: Dice, tally: Arc<Tally>, flaw: Option<Flaw>) -> Arc<Self> {
        let ahead_ms = [0; NODES].map(|_| dice.below(MOST_APART_MS));
        let sim = Sim {
            dice,
            tally,
            raft: Raft::new(Checks {
                head: flaw != Some(Flaw::Unchecked),
                term: !matches!(flaw, Some(Flaw::Unchecked | Flaw::Unfenced)),
            }),
            books: Books::default(),
            clients: Clients::default(),
            inboxes: Default::default(),
            died: [false; NODES],
            failure: None,
            depth: 0,
            leader: None,
            decides_in: [0; NODES],
            decided_on: [0; NODES],
            calm: false,
            fate: None,
            flaw,
            truth: Memory::default(),
            seen: 0,
            digests: BTreeMap::new(),
            proposals: Vec::new(),
        };
        let (time_ms, began) = (Arc::default(), Instant::now());
        let cluster = Arc::new(Self { sim: Mutex::new(sim), writers: Default::default(), time_ms, began, ahead_ms });
        (0..NODES).for_each(|n| cluster.start(n));
        cluster
    }

    /// The model. Nobody holds on to it while a writer works.
    pub fn sim(&self) -> MutexGuard<'_, Sim> {
        self.sim.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A writer on what its node has applied, which remembers nothing else.
    pub fn start(self: &Arc<Self>, n: usize) {
        let state = Arc::clone(&self.sim().raft.nodes[n].state);
        let totals = load::totals(&*lock(&state)).expect("readable");
        let (time_ms, began, ahead_ms) = (Arc::clone(&self.time_ms), self.began, self.ahead_ms[n]);
        let clock = Clock::reading(&totals, move || {
            let passed = time_ms.load(Ordering::Relaxed);
            (START_MS + ahead_ms + passed, began + Duration::from_millis(passed))
        });
        let journal = Box::new(ModelJournal { node: n, cluster: Arc::downgrade(self) });
        let (state, clock) = (Arc::new(AppliedState(state)), Arc::new(clock));
        let writer = LedgerActor::new(state, journal, Arc::new(Nobody), clock, Arc::default());
        *self.writers[n].lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
    }

    /// What a node's wall clock says.
    pub fn now_ms(&self, n: usize) -> u64 {
        START_MS + self.ahead_ms[n] + self.time_ms.load(Ordering::Relaxed)
    }

    pub fn time_passes(&self, ms: u64) {
        self.time_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// An answer comes to whoever asked.
    pub fn answered(&self, ticket: &Ticket, n: usize, settled: Settled) {
        let now_ms = self.now_ms(n);
        let mut sim = self.sim();
        if let Err(wrong) = sim.judge(ticket, (n, now_ms), settled) {
            sim.fails(wrong);
        }
    }
}

impl Sim {
    /// Something is wrong. The first thing counts.
    pub fn fails(&mut self, wrong: String) {
        self.failure.get_or_insert(wrong);
    }

    fn one_in(&mut self, n: u64) -> bool {
        !self.calm && self.dice.below(n) == 0
    }

    /// See `Journal::lead`.
    pub fn lead(&mut self, n: usize) -> bool {
        if !self.raft.nodes[n].leads {
            self.tally.count("sent to who does not lead");
            return false;
        }
        if !self.raft.nodes[n].sure && self.flaw != Some(Flaw::Unwaited) {
            self.appends_late(n);
            self.spread(n);
            self.raft.apply(n, usize::MAX);
            let node = &self.raft.nodes[n];
            if !node.leads || node.applied < node.log.len() {
                self.tally.count("led in vain");
                return false;
            }
        }
        if self.raft.nodes.iter().any(|other| other.leads && other.term > self.raft.nodes[n].term) {
            self.tally.count("decided past its time");
        }
        self.raft.nodes[n].sure = true;
        self.decides_in[n] = self.raft.nodes[n].term;
        true
    }

    /// A commit without records: whether this node led since its `lead`, and still does.
    pub fn confirm(&mut self, n: usize, ws: &WorkingSet) -> Result<(), &'static str> {
        if self.flaw == Some(Flaw::Unconfirmed) {
            return Ok(());
        }
        let heard = !self.one_in(20) && self.raft.nodes[n].leads && self.spread(n);
        let node = &self.raft.nodes[n];
        let same = node.sure && raft::head(&lock(&node.state)) == ws.totals.head;
        if heard && same {
            self.decided_on[n] = ws.totals.head.position;
            self.tally.count("confirmed");
            return Ok(());
        }
        self.unknown(n, None, "not confirmed")
    }

    /// A commit with records, which goes well, or in one of the ways in which it does not.
    pub fn propose(&mut self, n: usize, records: &[Record], ws: &WorkingSet) -> Result<(), &'static str> {
        if !self.raft.nodes[n].leads {
            return self.unknown(n, None, "deposed before it was proposed");
        }
        // That of the last `lead`, unless it was elected again meanwhile.
        let term = self.decides_in[n];
        let id = self.proposals.len();
        self.proposals.push(Proposal::default());
        let fate = self.fate.take().unwrap_or_else(|| self.draws());
        match fate {
            Fate::Lost => return self.unknown(n, Some(id), "never reached the log"),
            Fate::OnItsWay => {
                self.raft.nodes[n].late.push((term, records.to_vec(), id));
                return self.unknown(n, Some(id), "on its way to the log");
            }
            _ => self.raft.append(n, term, records.to_vec(), Some(id)),
        }
        if fate == Fate::InOneLog {
            return self.unknown(n, Some(id), "in one log");
        }
        let end = self.raft.nodes[n].log.len();
        self.spread(n);
        if self.raft.nodes[n].known < end {
            return self.unknown(n, Some(id), "no majority took it");
        }
        if fate == Fate::Unheard {
            return self.unknown(n, Some(id), "committed, and the answer lost");
        }
        if self.raft.apply(n, usize::MAX) != Some(Applied::Accepted) {
            return self.unknown(n, Some(id), "stale");
        }
        let state = lock(&self.raft.nodes[n].state);
        let differs = ws
            .changes()
            .into_iter()
            .find(|change| state.get(change.table, &change.key).expect("memory is readable") != change.value);
        drop(state);
        if let Some(change) = differs {
            self.fails(format!("the records make another row of {} than the writer did", change.table.name()));
        }
        self.decided_on[n] = records.first().map_or(0, |record| record.position - 1);
        self.tally.count("groups committed and known to be");
        self.tally.add("records answered", u64::try_from(records.len()).expect("few"));
        Ok(())
    }

    fn draws(&mut self) -> Fate {
        match if self.calm { u64::MAX } else { self.dice.below(20) } {
            0 => Fate::Lost,
            1 => Fate::OnItsWay,
            2 | 3 => Fate::InOneLog,
            4 => Fate::Unheard,
            _ => Fate::Answered,
        }
    }

    /// A leader's log takes what its proposer gave up waiting for.
    pub fn appends_late(&mut self, n: usize) {
        let count = self.raft.append_late(n);
        self.tally.add("appended late", u64::try_from(count).expect("few"));
    }

    fn unknown(&mut self, n: usize, proposal: Option<usize>, why: &'static str) -> Result<(), &'static str> {
        self.raft.nodes[n].sure = false;
        if let Some(id) = proposal {
            self.proposals[id].unknown = true;
        }
        self.tally.count(format!("unknown: {why}"));
        Err(why)
    }

    /// A leader sends what it has, and what is committed by that enters the books.
    pub fn spread(&mut self, n: usize) -> bool {
        let led = self.raft.spread(n);
        while self.seen < self.raft.committed.len() && self.failure.is_none() {
            let entry = Arc::clone(&self.raft.committed[self.seen]);
            self.seen += 1;
            if let Err(wrong) = self.committed(&entry) {
                self.fails(wrong);
            }
        }
        led
    }

    fn committed(&mut self, entry: &Entry) -> Result<(), String> {
        let unknown = entry.proposal.is_some_and(|id| self.proposals[id].unknown);
        if !self.raft.checks.pass(entry, raft::head(&self.truth)) {
            self.tally.count(if unknown { "stale proposals, late" } else { "stale proposals" });
            return Ok(());
        }
        entry.records.iter().try_for_each(|record| self.books.committed(record))?;
        raft::apply(&mut self.truth, entry, self.raft.checks);
        if let Some(id) = entry.proposal {
            self.proposals[id].accepted = true;
            for event in entry.records.iter().flat_map(|record| &record.events) {
                match event {
                    Event::EcoinExpired { .. } => self.tally.count("refunds"),
                    Event::DoubleSpendDetected(_) => self.tally.count("double spends"),
                    Event::ClockDoubted {} => self.tally.count("clocks in doubt"),
                    _ => {}
                }
            }
            self.tally.add("records", u64::try_from(entry.records.len()).expect("few"));
            if unknown {
                self.tally.count("late commits");
            }
            if entry.records.len() > 1 {
                self.tally.count("groups of several");
            }
        }
        if self.dice.below(8) == 0 {
            self.scan_truth()?;
        }
        Ok(())
    }

    fn scan_truth(&mut self) -> Result<(), String> {
        let found = self.truth.scan();
        self.digests.insert(found.totals.head.position, found.digest);
        if found.broken.is_empty() { Ok(()) } else { Err(found.broken.join("\n")) }
    }

    /// A node's rows have nothing broken in them, and are those that the log gives.
    pub fn scan(&mut self, n: usize) -> Result<(), String> {
        let found = lock(&self.raft.nodes[n].state).scan();
        if !found.broken.is_empty() {
            return Err(found.broken.join("\n"));
        }
        let position = found.totals.head.position;
        match self.digests.get(&position) {
            Some(digest) if *digest != found.digest => Err(format!("node {n} has another state at {position}")),
            Some(_) => {
                self.tally.count("digests compared");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// At the end: the books, and what everybody was told, are what is on the accounts.
    pub fn ends(&mut self) -> Result<(), String> {
        self.scan_truth()?;
        (0..NODES).try_for_each(|n| self.scan(n))?;
        let lost = self.proposals.iter().filter(|proposal| proposal.unknown && !proposal.accepted).count();
        self.tally.add("unknown, and lost for ever", u64::try_from(lost).expect("few"));
        let mut told = self.clients.expected(|position| self.books.record(position).expect("it was told"));
        for (peer, units) in &self.books.refunds {
            *told.entry(*peer).or_default() += units;
        }
        for (peer, balance) in self.books.balances() {
            let row = load::row::<netpay_ledger::rows::AccountRow, _>(&self.truth, &peer).expect("readable");
            let held = row.map_or(0, |row| i128::from(row.balance.0));
            let told = told.get(&peer).copied().unwrap_or(0);
            if (held, told) != (balance, balance) {
                return Err(format!("{peer} holds {held}, was told of {told}, and by the log has {balance}"));
            }
        }
        Ok(())
    }

    /// Holds an answer, by a node at its time, against the books.
    fn judge(&mut self, ticket: &Ticket, (n, now_ms): (usize, u64), settled: Settled) -> Result<(), String> {
        let told = match &settled.outcome {
            Ok(Outcome::Recorded(record)) => Told::Recorded(record.position),
            Ok(Outcome::Repeated(position)) => Told::Recorded(*position),
            Ok(Outcome::Unchanged(_)) => Told::Unchanged,
            Err(Problem { kind: Kind::Unavailable, .. }) => return Ok(()),
            Err(problem) => Told::Refused(problem.kind),
        };
        self.books.tells(settled.head, ticket.floor)?;
        let Some(at) = ticket.ask else { return Ok(()) };
        let ask = &self.clients.asks[at];
        let told = match told {
            // By this clock. By another it may still be carried out.
            Told::Refused(Kind::RequestExpired) if !ask.is_too_late(now_ms - MOST_APART_MS) => Told::TooLateHere,
            told => told,
        };
        self.tally.count(match told {
            Told::Recorded(_) => ask.name(),
            Told::Known(_) => "deposits under another order",
            Told::Unchanged => "batches with nothing to record",
            Told::TooLateHere => "told that it is too late by this clock",
            Told::Refused(Kind::RequestExpired) => "told that it is too late",
            Told::Refused(_) => "told that it is rejected",
        });
        if let Some(balance) = settled.balance {
            self.books.tells_balance(ask.request.signer, settled.head, balance)?;
        }
        let Told::Recorded(position) = told else {
            // Another copy may be recorded by the same group.
            self.books.tells_not_recorded(&ask.request, self.decided_on[n])?;
            return self.clients.is_told(at, told, None);
        };
        self.books.tells_recorded(&ask.request, ask.reference(), position)?;
        let record = match settled.outcome {
            Ok(Outcome::Recorded(record)) => record,
            _ => {
                self.tally.count("told of what was recorded before");
                let read = load::record(&*lock(&self.raft.nodes[n].state), position).expect("readable");
                read.ok_or_else(|| format!("node {n} names record {position}, and does not have it"))?
            }
        };
        if self.books.record(position) != Some(&record) {
            return Err(format!("node {n} has another record {position} than the log"));
        }
        let told = if record.request == Some(self.clients.asks[at].request) { told } else { Told::Known(position) };
        self.clients.is_told(at, told, Some(&record))
    }
}
