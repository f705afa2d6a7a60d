//! A replicated log in memory: nodes, terms, elections, and what of it is committed.
//!
//! The rules are raft's (a leader needs a majority whose logs are not ahead of its own; it commits only by an entry of its
//! own term), so that nothing happens here which could not happen to a cluster. What is asked for next, dice say. There
//! is no network: a message is carried at once, or never. Knows records only as what is applied, or not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netpay_ledger::load;
use netpay_ledger::memory::Memory;
use netpay_ledger::record::Record;
use netpay_protocol::redemption::Head;

/// Nodes. Two of them are a majority.
pub const NODES: usize = 3;

/// An entry of the log. One without records is the first of a leader.
#[derive(Debug)]
pub struct Entry {
    pub term: u64,
    pub records: Vec<Record>,
    /// The term in which its proposer decided it.
    pub decided_in: u64,
    /// Which proposal it was, if it was one.
    pub proposal: Option<usize>,
}

/// What became of an entry when it was applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Applied {
    Blank,
    Accepted,
    /// It does not follow the head, or was decided in another term: nobody applies it.
    Stale,
}

/// One node: its log, how much of it it knows to be committed, and the state that it has applied.
#[derive(Default)]
pub struct Node {
    pub term: u64,
    /// Whether it believes that it leads its term.
    pub leads: bool,
    /// Whether all that was committed before its term is applied, and none of its proposals is open.
    pub sure: bool,
    pub log: Vec<Arc<Entry>>,
    pub known: usize,
    pub applied: usize,
    pub state: Arc<Mutex<Memory>>,
    /// Proposals that it has still to append, though their proposer gave up waiting; with the terms they were decided in.
    pub late: Vec<(u64, Vec<Record>, usize)>,
    /// What of its state a crash would leave.
    durable: (usize, Memory),
}

/// See the module.
pub struct Raft {
    pub nodes: [Node; NODES],
    /// What is committed, whoever knows it.
    pub committed: Vec<Arc<Entry>>,
    /// Who cannot be reached by the others.
    pub cut_off: Option<usize>,
    pub checks: Checks,
    last_term: u64,
}

/// What is looked at before records are applied.
#[derive(Clone, Copy)]
pub struct Checks {
    /// That they follow the head.
    pub head: bool,
    /// That they were decided in the term of their entry: that nobody else led since. Otherwise a proposal that waited
    /// could be committed after another leader had said that its request will never be carried out, and recorded nothing.
    pub term: bool,
}

/// A state that is shared with the node's writer.
pub fn lock(state: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a state stands.
pub fn head(state: &Memory) -> Head {
    load::totals(state).expect("memory holds what was written").head
}

impl Checks {
    /// Whether an entry may be applied to a state that stands here.
    pub fn pass(self, entry: &Entry, mut head: Head) -> bool {
        let follows = entry.records.iter().all(|record| {
            let before = std::mem::replace(&mut head, record.head());
            (record.position, record.prev_hash) == (before.position + 1, before.hash)
        });
        (follows || !self.head) && (entry.decided_in == entry.term || !self.term)
    }
}

/// Applies an entry, as every node does.
pub fn apply(state: &mut Memory, entry: &Entry, checks: Checks) -> Applied {
    if !checks.pass(entry, head(state)) {
        return Applied::Stale;
    }
    entry.records.iter().for_each(|record| state.replay(record));
    if entry.records.is_empty() { Applied::Blank } else { Applied::Accepted }
}

impl Raft {
    pub fn new(checks: Checks) -> Self {
        Self { nodes: Default::default(), committed: Vec::new(), cut_off: None, checks, last_term: 0 }
    }

    fn reaches(&self, a: usize, b: usize) -> bool {
        a != b && self.cut_off.is_none_or(|alone| alone != a && alone != b)
    }

    /// A node asks for votes. Whether it got them.
    pub fn elect(&mut self, candidate: usize) -> bool {
        let end = |node: &Node| (node.log.last().map_or(0, |entry| entry.term), node.log.len());
        let ours = end(&self.nodes[candidate]);
        let votes = |n: &usize| self.reaches(candidate, *n) && end(&self.nodes[*n]) <= ours;
        let voters: Vec<_> = (0..NODES).filter(votes).collect();
        if voters.is_empty() {
            return false;
        }
        self.last_term += 1;
        for n in voters.into_iter().chain([candidate]) {
            let node = &mut self.nodes[n];
            (node.term, node.leads, node.sure) = (self.last_term, n == candidate, false);
        }
        self.append(candidate, self.last_term, Vec::new(), None);
        true
    }

    /// A leader writes into its own log.
    pub fn append(&mut self, leader: usize, decided_in: u64, records: Vec<Record>, proposal: Option<usize>) {
        let node = &mut self.nodes[leader];
        node.log.push(Arc::new(Entry { term: node.term, records, decided_in, proposal }));
    }

    /// A leader appends what waited for it. How much that was.
    pub fn append_late(&mut self, leader: usize) -> usize {
        if !self.nodes[leader].leads {
            return 0;
        }
        let late = std::mem::take(&mut self.nodes[leader].late);
        let count = late.len();
        late.into_iter().for_each(|(term, records, id)| self.append(leader, term, records, Some(id)));
        count
    }

    /// A leader sends what it has to whom it reaches. Whether a majority took it as their leader, itself included.
    pub fn spread(&mut self, leader: usize) -> bool {
        let took = (0..NODES).filter(|n| self.send(leader, *n)).count();
        self.advance(leader);
        self.nodes[leader].leads && took > 0
    }

    fn send(&mut self, from: usize, to: usize) -> bool {
        if !self.reaches(from, to) || !self.nodes[from].leads {
            return false;
        }
        let (term, log, known) = (self.nodes[from].term, self.nodes[from].log.clone(), self.nodes[from].known);
        if self.nodes[to].term > term {
            let newer = self.nodes[to].term;
            let deposed = &mut self.nodes[from];
            (deposed.term, deposed.leads, deposed.sure) = (newer, false, false);
            return false;
        }
        let node = &mut self.nodes[to];
        (node.term, node.leads, node.sure) = (term, false, false);
        node.takes(&log);
        node.known = node.known.max(known);
        true
    }

    /// What a majority has is committed, if the last of it is of the leader's own term.
    fn advance(&mut self, leader: usize) {
        let Node { term, ref log, leads, .. } = self.nodes[leader];
        let has = |n: &Node, at: usize| n.log.get(at).is_some_and(|entry| entry.term == term);
        let by_majority = |at: &usize| self.nodes.iter().filter(|n| has(n, *at)).count() * 2 > NODES;
        let end = (0..log.len()).rev().find(by_majority).map_or(0, |at| at + 1);
        if !leads || end <= self.nodes[leader].known {
            return;
        }
        let same = self.committed.iter().zip(log).all(|(a, b)| a.term == b.term);
        assert!(same && log.len() >= self.committed.len(), "the model's own log lost what was committed");
        let new = log.get(self.committed.len()..end).map(<[_]>::to_vec).unwrap_or_default();
        self.committed.extend(new);
        self.nodes[leader].known = end;
    }

    /// A node applies what it knows to be committed, at most so many entries. What came of the last one.
    pub fn apply(&mut self, n: usize, most: usize) -> Option<Applied> {
        let node = &mut self.nodes[n];
        let to = node.known.min(node.applied.saturating_add(most));
        let entries = &node.log[node.applied..to];
        let mut state = lock(&node.state);
        let last = entries.iter().map(|entry| apply(&mut state, entry, self.checks)).last();
        drop(state);
        node.applied = to;
        last
    }

    /// What a crash of this node would leave from now on.
    pub fn make_durable(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.durable = (node.applied, lock(&node.state).clone());
    }

    /// It is started again, with its log, and with its state or an older one.
    pub fn restart(&mut self, n: usize, older: bool) {
        let node = &mut self.nodes[n];
        if older {
            node.applied = node.durable.0;
            *lock(&node.state) = node.durable.1.clone();
        }
        (node.leads, node.sure, node.known) = (false, false, node.applied);
        node.late.clear();
    }

    /// A node that is behind takes another's state in place of its own. Whether it did.
    pub fn snapshot(&mut self, from: usize, to: usize) -> bool {
        if !self.reaches(from, to) || self.nodes[to].leads || self.nodes[from].applied <= self.nodes[to].applied {
            return false;
        }
        let (applied, state) = (self.nodes[from].applied, lock(&self.nodes[from].state).clone());
        let log = self.nodes[from].log[..applied].to_vec();
        let node = &mut self.nodes[to];
        node.takes(&log);
        (node.applied, node.known) = (applied, node.known.max(applied));
        *lock(&node.state) = state;
        self.make_durable(to);
        true
    }
}

impl Node {
    /// Takes in a log. What contradicts it goes; what is beyond it and does not stays.
    fn takes(&mut self, log: &[Arc<Entry>]) {
        let same = self.log.iter().zip(log).take_while(|(a, b)| a.term == b.term).count();
        if same < log.len() {
            self.log.truncate(same);
            self.log.extend_from_slice(&log[same..]);
        }
    }
}
