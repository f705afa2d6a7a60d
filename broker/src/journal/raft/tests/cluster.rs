//! Three nodes in one process, whose link is cut and loses answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use netpay_protocol::ids::Digest;

use super::super::super::tests::{Opened, decided, head, until};
use super::links::Wires;
use super::{Limits, Machinery, StartError};
use crate::ports::journal::CommitError;
use crate::ports::link::Kind;
use crate::ports::state::scan;

struct Running {
    machinery: Machinery,
    /// Dropped before it stops.
    opened: Option<Opened>,
}

impl Running {
    fn opened(&mut self) -> &mut Opened {
        self.opened.as_mut().expect("it runs")
    }

    fn digest(&mut self) -> Digest {
        let found = scan(&*self.opened().state).expect("readable");
        assert_eq!(found.broken, Vec::<String>::new());
        found.digest
    }

    fn stop(&mut self) {
        self.opened = None;
        self.machinery.stop();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Three {
    wires: Arc<Wires>,
    nodes: Vec<Running>,
}

impl Three {
    /// A cluster that one node founded with a ledger that held something, and two joined.
    fn new(limits: Limits) -> Self {
        let mut three = Self { wires: Arc::default(), nodes: Vec::new() };
        for node in 1..=3 {
            let mut machinery = Machinery::new(node);
            machinery.limits = limits;
            let opened = machinery.start(three.wires.of(node)).expect("it starts");
            three.nodes.push(Running { machinery, opened: Some(opened) });
        }
        three.nodes[0].machinery.found();
        three.commit("before anybody joined");
        for node in [2, 3] {
            three.nodes[0].machinery.admit(node);
        }
        three.agree();
        three
    }

    /// Which node leads, of those that are not left out.
    fn leader(&mut self, but: &BTreeSet<usize>) -> usize {
        let nodes = &mut self.nodes;
        until("one of them leads", || {
            (0..nodes.len()).find(|at| !but.contains(at) && nodes[*at].opened().journal.lead().is_ok())
        })
    }

    /// As a writer does it, until it is known to be committed. Answers who did it.
    fn commit_but(&mut self, reference: &str, but: &BTreeSet<usize>) -> usize {
        loop {
            let at = self.leader(but);
            let opened = self.nodes[at].opened();
            let (records, ws) = decided(&*opened.state, &[reference]);
            match opened.journal.commit(&records, &ws) {
                Ok(()) => return at,
                Err(CommitError::Unknown(_)) if opened.journal.lead().is_ok() => {
                    // What the writer does: it looks whether it is there.
                    if there(opened, reference) {
                        return at;
                    }
                }
                Err(CommitError::Unknown(_)) => {}
                Err(CommitError::Failed(why)) => panic!("{why}"),
            }
        }
    }

    fn commit(&mut self, reference: &str) -> usize {
        self.commit_but(reference, &BTreeSet::new())
    }

    /// Waits until every node has the same ledger.
    fn agree(&mut self) -> Digest {
        let nodes = &mut self.nodes;
        until("all have the same ledger", || {
            let digests: BTreeSet<_> = nodes.iter_mut().map(Running::digest).collect();
            if digests.len() == 1 { digests.into_iter().next() } else { None }
        })
    }
}

fn there(opened: &Opened, reference: &str) -> bool {
    times_there(opened, reference) > 0
}

/// How often a deposit is in the log.
fn times_there(opened: &Opened, reference: &str) -> usize {
    let end = head(&*opened.state).position;
    let record = |position| opened.state.record(position).expect("readable").expect("no gap");
    (1..=end).filter(|position| contains(&record(*position), reference.as_bytes())).count()
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

#[test]
fn what_is_committed_is_on_every_node_also_when_all_are_started_again() {
    let mut three = Three::new(Limits::default());
    for number in 0..5 {
        three.commit(&format!("deposit {number}"));
    }
    let before = three.agree();
    for at in 0..3 {
        three.wires.forget(three.nodes[at].machinery.node);
        three.nodes[at].stop();
    }
    for (node, running) in (1..).zip(&mut three.nodes) {
        running.opened = Some(running.machinery.start(three.wires.of(node)).expect("it starts"));
    }
    three.leader(&BTreeSet::new());
    assert_eq!(three.agree(), before);
    three.commit("and on");
    three.agree();
    assert_eq!(head(&*three.nodes[2].opened().state).position, 7);
}

#[test]
fn a_leader_that_is_cut_off_commits_nothing_and_others_go_on() {
    let mut three = Three::new(Limits::default());
    let old = three.commit("together");
    three.wires.cut(three.nodes[old].machinery.node);
    let opened = three.nodes[old].opened();
    let (records, ws) = decided(&*opened.state, &["alone"]);
    let committed = opened.journal.commit(&records, &ws);
    assert!(matches!(committed, Err(CommitError::Unknown(_))), "{committed:?}");
    let (none, ws) = decided(&*opened.state, &[]);
    let confirmed = opened.journal.commit(&none, &ws);
    assert!(matches!(confirmed, Err(CommitError::Unknown(_))), "nor does it answer from what it has: {confirmed:?}");
    until("it finds out that it is alone", || opened.journal.lead().err());
    three.commit_but("without it", &[old].into());
    assert!(!there(three.nodes[old].opened(), "without it"));
    three.wires.heal();
    three.commit("together again");
    three.agree();
    for running in &mut three.nodes {
        let opened = running.opened();
        assert_eq!(times_there(opened, "alone"), 0, "nobody ever answered for it");
        assert_eq!(times_there(opened, "without it"), 1);
    }
}

#[test]
fn a_leader_that_was_cut_off_confirms_nothing_after_others_committed() {
    let mut three = Three::new(Limits::default());
    let old = three.commit("together");
    let opened = three.nodes[old].opened();
    opened.journal.lead().expect("it leads");
    let (none, ws) = decided(&*opened.state, &[]);
    three.wires.cut(three.nodes[old].machinery.node);
    three.commit_but("without it", &[old].into());
    three.wires.heal();
    let journal = &mut three.nodes[old].opened().journal;
    journal.commit(&none, &ws).expect_err("what it loaded is not the newest");
}

/// The others have it on disk, and it commits by and by.
#[test]
fn what_commits_late_is_there_once_before_the_node_decides_again() {
    let mut three = Three::new(Limits::default());
    let old = three.commit("before");
    let others: Vec<_> = (1..=3).filter(|node| *node != three.nodes[old].machinery.node).collect();
    others.iter().for_each(|node| three.wires.lose_answers_of(*node));
    let opened = three.nodes[old].opened();
    let (records, ws) = decided(&*opened.state, &["late"]);
    let committed = opened.journal.commit(&records, &ws);
    assert!(matches!(committed, Err(CommitError::Unknown(_))), "{committed:?}");
    assert!(!there(opened, "late"), "nobody knows that a majority has it");
    three.wires.heal();
    let leader = three.leader(&BTreeSet::new());
    let opened = three.nodes[leader].opened();
    assert!(there(opened, "late"), "a majority had it, so no leader is without it");
    let again = opened.journal.commit(&records, &ws);
    assert!(matches!(again, Err(CommitError::Unknown(_))), "the same once more is stale: {again:?}");
    three.commit("after");
    three.agree();
    for running in &mut three.nodes {
        assert_eq!(times_there(running.opened(), "late"), 1);
    }
}

#[test]
fn a_follower_that_was_away_for_a_while_gets_entries_and_no_snapshot() {
    let mut three = Three::new(Limits::default());
    let leader = three.commit("before");
    let away = (leader + 1) % 3;
    let node = three.nodes[away].machinery.node;
    let before = three.wires.arrived(node, Kind::Snapshot);
    three.wires.cut(node);
    for number in 0..20 {
        three.commit_but(&format!("{number}{}", "x".repeat(200_000)), &[away].into());
    }
    three.wires.heal();
    three.agree();
    assert_eq!(three.wires.arrived(node, Kind::Snapshot), before);
}

#[test]
fn a_follower_that_the_log_has_left_behind_gets_a_snapshot() {
    let mut three = Three::new(Limits { snapshot_bytes: 300_000, keep_bytes: 1_000 });
    let leader = three.commit("before");
    let away = (leader + 1) % 3;
    let node = three.nodes[away].machinery.node;
    let before = three.wires.arrived(node, Kind::Snapshot);
    three.wires.cut(node);
    let last = three.nodes[away].machinery.applied();
    for number in 0..20 {
        three.commit_but(&format!("{number}{}", "x".repeat(50_000)), &[away].into());
    }
    until("the log is purged past it", || {
        three
            .nodes
            .iter()
            .enumerate()
            .all(|(at, running)| at == away || running.machinery.purged() > last)
            .then_some(())
    });
    three.wires.heal();
    three.agree();
    assert!(three.wires.arrived(node, Kind::Snapshot) > before);
    three.commit("after");
    three.agree();
}

#[test]
fn a_number_that_has_a_vote_is_not_given_again() {
    let three = Three::new(Limits::default());
    let (runtime, leader) = three.nodes[0].machinery.running.as_ref().expect("it runs");
    let admitted = runtime.block_on(leader.admit(2, "the same"));
    assert!(matches!(admitted, Err(StartError::Known(2))), "{admitted:?}");
}
