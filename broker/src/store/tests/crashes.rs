//! A node killed at every point of its ledger's way into a cluster, and of a ledger's way into the present one's place.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use netpay_crash_point::replica::POINTS;
use netpay_ledger::event::Event;
use netpay_protocol::ids::Digest;
use netpay_protocol::redemption::Head;

use super::replica::{digest, entry, records};
use super::snapshots::{names, sent};
use crate::store::{Applied, Replica, Store};

const DIR: &str = "NETPAY_TEST_CRASHED_NODE";

fn log() -> Vec<Vec<u8>> {
    records(Head::default(), std::iter::repeat_n(Event::ClockDoubted {}, 3))
}

/// In `donor` a node with three records; in `node` a single node's ledger with two of them.
fn given(dir: &Path) {
    for (name, count) in [("donor", 3), ("node", 2)] {
        std::fs::create_dir(dir.join(name)).expect("ours");
        let replica = Replica::create(&dir.join(name).join("ledger")).expect("new");
        assert_eq!(replica.apply(&[entry(&log()[..count], "x")]).expect("applied"), [Applied::Recorded]);
        replica.sync().expect("synced");
    }
    let (node, ledger) = (dir.join("node"), dir.join("node/ledger"));
    Store::open(&ledger).expect("there").leave_cluster().expect("left");
    std::fs::remove_file(&ledger).expect("a link");
    std::fs::rename(node.join("ledger.1"), ledger).expect("a single node's again");
}

/// Founds the node's cluster, and puts the donor's ledger into its place.
fn walk(dir: &Path) {
    let node = Replica::found(&dir.join("node/ledger")).expect("founded");
    let donor = Replica::open(&dir.join("donor/ledger")).expect("there");
    let snapshot = Arc::new(donor.checkpoint().expect("made"));
    node.install(sent(&snapshot, &node)).expect("whole");
}

/// Not a test by itself: the body of the process that the test below kills.
#[test]
fn only_in_a_process_of_its_own_does_it_walk() {
    if let Some(dir) = std::env::var_os(DIR) {
        walk(dir.as_ref());
    }
}

/// Walks in a process of its own; answers whether it came to its end, and the points it reached.
fn walked(dir: &Path, at: Option<&str>) -> (bool, Vec<String>) {
    let points = dir.join("points");
    let mut command = Command::new(std::env::current_exe().expect("a test has a path"));
    command.args(["--exact", "store::tests::crashes::only_in_a_process_of_its_own_does_it_walk"]);
    command.env(DIR, dir).env("NETPAY_CRASH_LOG", &points).env_remove("NETPAY_CRASH_AT");
    command.envs(at.map(|at| ("NETPAY_CRASH_AT", at)));
    let ended = command.output().expect("it starts");
    let log = std::fs::read_to_string(points).unwrap_or_default();
    (ended.status.success(), log.lines().map(str::to_owned).collect())
}

fn digest_of(ledger: &Path) -> Digest {
    digest(&Store::open_read_only(ledger).expect("a tool finds it"))
}

#[test]
fn a_node_killed_at_any_point_has_the_old_ledger_or_the_new_one_and_nothing_is_left_over() {
    let first = tempfile::tempdir().expect("a directory");
    given(first.path());
    let (old, new) = (digest_of(&first.path().join("node/ledger")), digest_of(&first.path().join("donor/ledger")));
    assert_ne!(old, new);
    let (whole, points) = walked(first.path(), None);
    assert!(whole, "{points:?}");
    for point in POINTS {
        assert!(points.iter().any(|name| name == point.name()), "{} is never reached", point.name());
    }
    // Of a point that is passed often, the first time and the last.
    let times = |name: &String| points.iter().filter(|point| *point == name).count();
    let at: std::collections::BTreeSet<_> = points.iter().flat_map(|name| [(name, 1), (name, times(name))]).collect();
    for (name, time) in at {
        let at = format!("{name}#{time}");
        let dir = tempfile::tempdir().expect("a directory");
        given(dir.path());
        let (whole, reached) = walked(dir.path(), Some(&at));
        assert!(!whole, "{at}: it was not killed");
        assert_eq!(reached.last(), Some(name), "{at}");

        let (node, ledger) = (dir.path().join("node"), dir.path().join("node/ledger"));
        // The new one from the second time on that a pointer was moved: the first makes the old one a generation.
        let moved = reached.iter().filter(|name| *name == "replica.switched").count() == 2;
        let expected = if moved { new } else { old };
        assert_eq!(digest_of(&ledger), expected, "{at}: as a tool sees it");
        let replica = Replica::found(&ledger).expect("it goes on");
        assert_eq!(digest(&replica), expected, "{at}");
        let generation = std::fs::read_link(&ledger).expect("a link").to_string_lossy().into_owned();
        assert_eq!(names(&node), ["ledger".into(), generation], "{at}");
        drop(replica);
        walk(dir.path());
        assert_eq!(digest_of(&ledger), new, "{at}: once more");
        assert_eq!(names(&node).len(), 2, "{at}");
    }
}
