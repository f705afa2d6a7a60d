//! A cluster in memory, as it cannot be made to behave on demand: thousands of changes of leader, in a minute, on one thread.
//!
//! The broker's own writers decide on three nodes, over a model of a replicated log in which everything happens that a
//! journal may answer: what is committed and answered, committed and not known to be, lost, late, stale. Clients write
//! down what they are told, and books of the model's own hold it against what was committed. The same seed plays the same
//! again; the longer form is `NETPAY_CYCLES=10000 tests/run.sh sim`.

mod books;
mod clients;
mod cluster;
mod journal;
mod play;
mod raft;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use netpay_protocol::problem::Kind;
use netpay_tests::campaign::{Campaign, Dice, Tally};

use clients::Told;
use cluster::{Cluster, Fate, Flaw, MOST_APART_MS};

/// Of one cycle.
const STEPS: u32 = 1_000;

/// What has to have happened.
const KINDS: &[&str] = &[
    "leader changes",
    "two believe that they lead",
    "decided past its time",
    "commands",
    "retries and repeats",
    "repeats of what was answered",
    "records",
    "groups of several",
    "confirmed",
    "late commits",
    "stale proposals",
    "stale proposals, late",
    "appended late",
    "unknown: deposed before it was proposed",
    "unknown: never reached the log",
    "unknown: on its way to the log",
    "unknown: in one log",
    "unknown: no majority took it",
    "unknown: committed, and the answer lost",
    "unknown: stale",
    "unknown: not confirmed",
    "unknown, and lost for ever",
    "restarts",
    "restarts with an older state",
    "snapshots",
    "digests compared",
    "deposits",
    "purchases",
    "batches",
    "payouts",
    "suspensions",
    "reinstatements",
    "batches with nothing to record",
    "told of what was recorded before",
    "told that it is too late",
    "told that it is too late by this clock",
    "refunds",
    "double spends",
    "clocks in doubt",
    "told that it is rejected",
];

fn cycle(dice: Dice, tally: &Arc<Tally>, flaw: Option<Flaw>) -> Result<(), String> {
    Cluster::new(dice, Arc::clone(tally), flaw).plays(STEPS)
}

#[test]
fn whoever_leads_what_was_answered_is_in_the_log_once_and_no_answer_is_from_an_old_state() {
    let campaign = Campaign::start("sim", "sim", 120, 10_000);
    let mut done = 0;
    while campaign.goes_on(done) {
        if let Err(wrong) = cycle(campaign.dice(done), &campaign.tally, None) {
            panic!("cycle {done}: {wrong}");
        }
        done += 1;
    }
    campaign.tally.add("cycles", done);
    campaign.end(KINDS);
}

/// So many cycles are enough to find a log that is wrong.
const ENOUGH: u64 = 50;

/// Which cycle found it, and how.
fn found(flaw: Flaw) -> (u64, String) {
    let tally = Arc::default();
    let wrong = |number| {
        let cycle = catch_unwind(AssertUnwindSafe(|| cycle(Dice::new(number), &tally, Some(flaw))));
        // What a record does where it does not belong, the ledger may not survive.
        cycle.unwrap_or_else(|_| Err("stopped by an assertion".into())).err().map(|wrong| (number, wrong))
    };
    let found = (0..ENOUGH).find_map(wrong).unwrap_or_else(|| panic!("{flaw:?} is not found"));
    println!("{flaw:?} is found by cycle {}: {}", found.0, found.1);
    found
}

#[test]
fn a_leader_that_does_not_wait_for_what_was_committed_before_is_found() {
    found(Flaw::Unwaited);
}

#[test]
fn an_answer_without_records_that_nobody_confirmed_is_found() {
    found(Flaw::Unconfirmed);
}

#[test]
fn records_that_are_applied_wherever_the_head_is_are_found() {
    found(Flaw::Unchecked);
}

/// A proposal waits where its node does not lead any more; the request is told to be too late; the proposal goes on.
fn a_proposal_outlives_its_request(flaw: Option<Flaw>) -> Result<(), String> {
    let cluster = Cluster::new(Dice::new(1), Arc::default(), flaw);
    cluster.sim().calm = true;
    let at = {
        let mut sim = cluster.sim();
        sim.raft.elect(0);
        sim.fate = Some(Fate::OnItsWay);
        sim.clients.deposit_until(cluster.now_ms(0) + 1_000)
    };
    let told = || cluster.sim().clients.asks[at].told;
    cluster.asks(at, 0);
    assert_eq!(told(), None);
    cluster.time_passes(1_000 + 2 * MOST_APART_MS);
    cluster.sim().raft.elect(1);
    cluster.asks(at, 1);
    assert_eq!(told(), Some(Told::Refused(Kind::RequestExpired)));
    cluster.sim().raft.elect(0);
    cluster.asks(at, 0);
    let failure = cluster.sim().failure.take();
    failure.map_or(Ok(()), Err)
}

#[test]
fn what_was_too_late_is_not_carried_out_by_a_proposal_that_waited_until_another_had_led() {
    assert_eq!(a_proposal_outlives_its_request(None), Ok(()));
    let wrong = a_proposal_outlives_its_request(Some(Flaw::Unfenced)).expect_err("it was carried out");
    assert!(wrong.contains("was too late, and is recorded at 1"), "{wrong}");
}
