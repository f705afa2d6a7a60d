//! A node killed at every point of its ledger's way into a cluster, and of a ledger's way into the present one's place.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use netpay_crash_point::replica::POINTS;
use netpay_ledger::event::Event;
use netpay_ledger::record::hash;
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
fn walk(dir: &Path) -> Replica {
    let node = Replica::found(&dir.join("node/ledger")).expect("founded");
    let donor = Replica::open(&dir.join("donor/ledger")).expect("there");
    let snapshot = Arc::new(donor.checkpoint().expect("made"));
    node.install(sent(&snapshot, &node)).expect("whole");
    node
}

/// Adds to the notes of what was reached and synced.
fn note(what: &str) {
    let path = std::env::var_os("NETPAY_CRASH_LOG").expect("a process of its own");
    let mut notes = std::fs::File::options().append(true).open(path).expect("begun");
    notes.write_all(format!("{what}\n").as_bytes()).expect("written");
}

/// Not a test by itself: the body of the process that the test below kills.
#[test]
fn only_in_a_process_of_its_own_does_it_walk() {
    if let Some(dir) = std::env::var_os(DIR) {
        let node = walk(dir.as_ref());
        let head = Head { position: 3, hash: hash(&log()[2]) };
        node.apply(&[entry(&records(head, [Event::ClockDoubted {}]), "y")]).expect("applied");
        note("applied");
        node.sync().expect("synced");
        note("synced");
    }
}

/// Walks in a process of its own, with these variables; answers whether it came to its end, and the notes.
fn walked(dir: &Path, variables: &[(&str, &OsStr)]) -> (bool, Vec<String>) {
    let points = dir.join("points");
    let mut command = Command::new(std::env::current_exe().expect("a test has a path"));
    command.args(["--exact", "store::tests::crashes::only_in_a_process_of_its_own_does_it_walk"]);
    command.env(DIR, dir).env("NETPAY_CRASH_LOG", &points).env_remove("NETPAY_CRASH_AT");
    command.envs(variables.iter().copied());
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
    let (whole, mut points) = walked(first.path(), &[]);
    assert!(whole, "{points:?}");
    points.retain(|name| name.starts_with("replica."));
    for point in POINTS {
        assert!(points.iter().any(|name| name == point.name()), "{} is never reached", point.name());
    }
    // Of a point that is passed often, the first time and the last.
    let times = |name: &String| points.iter().filter(|point| *point == name).count();
    let at: BTreeSet<_> = points.iter().flat_map(|name| [(name, 1), (name, times(name))]).collect();
    for (name, time) in at {
        let at = format!("{name}#{time}");
        let dir = tempfile::tempdir().expect("a directory");
        given(dir.path());
        let (whole, reached) = walked(dir.path(), &[("NETPAY_CRASH_AT", at.as_ref())]);
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
        drop(walk(dir.path()));
        assert_eq!(digest_of(&ledger), new, "{at}: once more");
        assert_eq!(names(&node).len(), 2, "{at}");
    }
}

/// What kill -9 cannot show: names and bytes that were not synced survive it, and are gone after a power cut.
#[test]
fn every_step_is_synced_before_the_next_and_what_is_applied_when_it_is_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    given(dir.path());
    let shim = dir.path().join("shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/crash/shim.c");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).arg("-ldl");
    assert!(cc.status().expect("there is a C compiler").success(), "{cc:?}");
    let (node, notes) = (dir.path().canonicalize().expect("there").join("node"), dir.path().join("points"));
    let watched: [(&str, &OsStr); 3] =
        [("LD_PRELOAD", shim.as_ref()), ("NETPAY_FAULT_UNDER", node.as_ref()), ("NETPAY_FAULT_NOTES", notes.as_ref())];
    let (whole, notes) = walked(dir.path(), &watched);
    assert!(whole, "{notes:?}");
    // What was noted between two points, of which the first may be passed more than once.
    let between = |from: &str, to: &str| {
        let end = notes.iter().rposition(|note| note == to).unwrap_or_else(|| panic!("{to}: {notes:?}"));
        let start = notes[..end].iter().rposition(|note| note == from).unwrap_or_else(|| panic!("{from}: {notes:?}"));
        notes[start..end].to_vec()
    };
    let synced = |notes: &[String], name: &str| notes.contains(&format!("sync {name}"));
    for (from, to, name) in [
        ("replica.joined", "replica.adopt-linked", "node"),
        ("replica.adopt-linked", "replica.adopt-moved", "node"),
        ("replica.receive-begun", "replica.checked", "ledger.2"),
        ("replica.checked", "replica.old-marked", "ledger.1"),
        ("replica.old-marked", "replica.switch-linked", "node"),
        ("replica.switch-linked", "replica.switched", "node"),
    ] {
        assert!(synced(&between(from, to), name), "{name} between {from} and {to}: {notes:?}");
    }
    let adopted = notes.split(|note| note == "replica.switched").next().expect("a first part");
    let moved = adopted.iter().rposition(|note| note == "replica.adopt-moved").expect("adopted");
    assert!(synced(&adopted[moved..], "node"), "{adopted:?}");
    let received = between("replica.receive-begun", "replica.checked");
    let written: Vec<_> = received.iter().filter_map(|note| note.strip_prefix("write ")).collect();
    assert!(written.iter().any(|name| name.ends_with(".sst")), "{received:?}");
    for name in written {
        let last = received.iter().rposition(|note| *note == format!("write {name}")).expect("written");
        assert!(synced(&received[last..], name), "{name}: {received:?}");
    }
    let is_log = |note: &String, what: &str| note.starts_with(what) && note.ends_with(".log");
    let applied = between("replica.old-removing", "applied");
    let last = applied.iter().rposition(|note| is_log(note, "write ")).expect("applied");
    assert!(!applied[last..].iter().any(|note| is_log(note, "sync ")), "the cluster's log is the durable one");
    assert!(between("applied", "synced").iter().any(|note| is_log(note, "sync ")), "{notes:?}");
}
