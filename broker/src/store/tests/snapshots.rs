//! Whole ledgers that go from one node to another: what arrives, what is refused, and who reads meanwhile.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use netpay_ledger::event::Event;
use netpay_ledger::record::{Record, hash};
use netpay_ledger::rows::{AccountRow, Table};
use netpay_ledger::working_set::Change;
use netpay_ledger::{apply, load};
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{Digest, PeerId};
use netpay_protocol::redemption::Head;
use netpay_protocol::wire;
use tempfile::TempDir;

use super::replica::{digest, entry, joined, progress, records};
use super::{BOB, FACTS, events, given_a_log, put};
use crate::ports::State;
use crate::ports::state::{at_one_moment, scan};
use crate::store::{
    CHUNK_BYTES, Chunk, Incoming, Listed, MAX_MANIFEST_BYTES, Manifest, Place, RECORDS, ReceiveError, Replica,
    Snapshot, Store,
};

/// A node with all of the records, and a snapshot of it.
fn donor() -> (TempDir, Replica, Arc<Snapshot>) {
    let (dir, replica) = joined();
    replica.apply(&[entry(&records(Head::default(), events()), "3")]).expect("applied");
    let snapshot = Arc::new(replica.checkpoint().expect("made"));
    (dir, replica, snapshot)
}

fn manifest_of(snapshot: &Snapshot) -> Vec<u8> {
    snapshot.manifest().to_bytes().expect("not large")
}

fn each_chunk(snapshot: &Arc<Snapshot>, from: Place) -> impl Iterator<Item = Chunk> {
    let mut reader = snapshot.reader(from);
    std::iter::from_fn(move || reader.next_chunk().expect("readable"))
}

fn chunks(snapshot: &Arc<Snapshot>, from: Place) -> Vec<Chunk> {
    each_chunk(snapshot, from).collect()
}

/// All of it sent, with this manifest.
fn sent_with(manifest: &[u8], snapshot: &Arc<Snapshot>, to: &Replica) -> Result<Incoming, ReceiveError> {
    let mut incoming = to.receive(manifest)?;
    for chunk in each_chunk(snapshot, Place::default()) {
        assert_eq!(incoming.expects(), chunk.place);
        incoming.take(&chunk)?;
    }
    Ok(incoming)
}

pub(super) fn sent(snapshot: &Arc<Snapshot>, to: &Replica) -> Incoming {
    sent_with(&manifest_of(snapshot), snapshot, to).expect("taken")
}

/// What lies in a broker's directory.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("readable").file_name();
    let mut names: Vec<_> =
        std::fs::read_dir(dir).expect("there").map(|entry| name(entry).to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn why<T>(result: Result<T, ReceiveError>) -> String {
    match result {
        Err(ReceiveError::Refused(why)) => why,
        Err(other) => panic!("failed instead: {other}"),
        Ok(_) => panic!("taken"),
    }
}

#[test]
fn a_joiner_that_received_a_ledger_has_its_digest_and_progress_and_goes_on_from_there() {
    let (_dir, donor) = joined();
    let log = records(Head::default(), events());
    donor.apply(&[entry(&log[..2], "2")]).expect("applied");
    let snapshot = Arc::new(donor.checkpoint().expect("made"));
    // Not in it.
    donor.apply(&[entry(&log[2..], "3")]).expect("applied");
    let head = Head { position: 2, hash: hash(&log[1]) };
    assert_eq!(snapshot.manifest().head, head);

    let (dir, joiner) = joined();
    let incoming = sent(&snapshot, &joiner);
    assert_eq!(joiner.install(incoming).expect("whole"), head);
    assert_eq!((digest(&joiner), progress(&joiner)), (snapshot.manifest().digest, "2".into()));
    joiner.apply(&[entry(&log[2..], "3")]).expect("applied");
    assert_eq!(digest(&joiner), digest(&donor));
    drop(joiner);
    let ledger = dir.path().join("ledger");
    let again = Replica::open(&ledger).expect("there");
    assert_eq!((digest(&again), progress(&again)), (digest(&donor), "3".into()));
    assert_eq!(names(dir.path()), ["ledger", "ledger.2"]);
}

/// Moved to another place the link names nothing there: what it named is the operator's all the same.
#[test]
fn a_ledger_that_came_is_kept_by_whoever_moves_its_link_away() {
    let (_dir, _donor, snapshot) = donor();
    let (dir, node) = joined();
    node.install(sent(&snapshot, &node)).expect("whole");
    drop(node);
    let ledger = dir.path().join("ledger");
    let elsewhere = tempfile::tempdir().expect("a directory");
    std::fs::rename(&ledger, elsewhere.path().join("ledger.lost")).expect("ours");
    drop(Replica::create(&ledger).expect("another one"));
    assert_eq!(names(dir.path()), ["ledger", "ledger.2", "ledger.3"]);
    let kept = Store::open_read_only(&dir.path().join("ledger.2")).expect("whole");
    assert_eq!(digest(&kept), snapshot.manifest().digest);
}

#[test]
fn a_snapshot_is_gone_with_its_last_holder_and_can_be_read_from_any_place() {
    let (dir, donor, snapshot) = donor();
    let all = chunks(&snapshot, Place::default());
    for (i, chunk) in all.iter().enumerate() {
        assert_eq!(chunks(&snapshot, chunk.place), all[i..]);
    }
    let size: u64 = all.iter().map(|chunk| u64::try_from(chunk.bytes.len()).expect("small")).sum();
    assert_eq!(size, snapshot.manifest().size_bytes());
    let mut reader = snapshot.reader(Place::default());
    drop(snapshot);
    assert_eq!(reader.next_chunk().expect("still there"), all.first().cloned());
    drop(reader);
    assert_eq!(names(dir.path()), ["ledger", "ledger.1"]);
    drop(donor);
}

#[test]
fn a_manifest_names_nothing_outside_its_directory_and_has_a_bound() {
    let listed = |name: &str| Listed { name: name.into(), size_bytes: 0, hash: Digest([0; 32]) };
    let manifest = |files: Vec<Listed>| Manifest { head: Head::default(), digest: Digest::ZERO, progress: None, files };
    let long = "x".repeat(65);
    for name in ["", ".", "..", "../x", "a/b", "/etc/x", ".hidden", "a\0", "a b", "ä", &long] {
        let one = manifest(vec![listed(name)]);
        assert!(Manifest::read(&wire::encode(&one)).is_err(), "{name:?}");
        assert!(one.to_bytes().is_err());
    }
    for names in [["b", "a"], ["a", "a"]] {
        assert!(Manifest::read(&wire::encode(&manifest(names.map(listed).to_vec()))).is_err());
    }
    let good = manifest(vec![listed("000012.sst"), listed("MANIFEST-000005"), listed(&long[..64])]);
    assert_eq!(Manifest::read(&good.to_bytes().expect("good")), Ok(good));

    let many = |n: usize| manifest((0..n).map(|i| listed(&format!("{i:06}.sst"))).collect());
    let sizes: Vec<_> = (0..20_000).collect();
    let most = sizes.partition_point(|n| wire::encode(&many(*n)).len() <= MAX_MANIFEST_BYTES) - 1;
    assert!(most > 9_000, "{most}");
    assert_eq!(Manifest::read(&many(most).to_bytes().expect("fits")), Ok(many(most)));
    assert!(many(most + 1).to_bytes().is_err());
    assert!(Manifest::read(&wire::encode(&many(most + 1))).is_err());
}

#[test]
fn a_chunk_that_is_not_the_next_one_or_too_long_is_refused_and_the_next_can_still_come() {
    let (_dir, _donor, snapshot) = donor();
    let (dir, joiner) = joined();
    let all = chunks(&snapshot, Place::default());
    let mut incoming = joiner.receive(&manifest_of(&snapshot)).expect("begun");
    for (i, chunk) in all.iter().enumerate() {
        let with = |place, bytes| Chunk { place, bytes };
        let offset = chunk.place.offset;
        for wrong in [
            with(Place { offset: offset + 1, ..chunk.place }, chunk.bytes.clone()),
            with(Place { file: chunk.place.file + 1, offset: 0 }, chunk.bytes.clone()),
            with(chunk.place, vec![]),
            with(chunk.place, [chunk.bytes.clone(), vec![0]].concat()),
            with(chunk.place, vec![0; CHUNK_BYTES + 1]),
        ] {
            why(incoming.take(&wrong));
        }
        if let Some(before) = i.checked_sub(1) {
            why(incoming.take(&all[before]));
        }
        incoming.take(chunk).expect("the next");
    }
    why(incoming.take(all.last().expect("some")));
    joiner.install(incoming).expect("whole");
    assert_eq!(digest(&joiner), given_a_log().1);
    assert_eq!(names(dir.path()), ["ledger", "ledger.2"]);
}

#[test]
fn one_flipped_bit_in_any_file_or_a_missing_end_is_refused_and_leaves_nothing() {
    let (_dir, _donor, snapshot) = donor();
    let (dir, joiner) = joined();
    let before = digest(&joiner);
    let all = chunks(&snapshot, Place::default());
    for (at, flipped) in all.iter().enumerate() {
        let mut incoming = joiner.receive(&manifest_of(&snapshot)).expect("begun");
        all[..at].iter().for_each(|chunk| incoming.take(chunk).expect("whole"));
        let mut chunk = flipped.clone();
        chunk.bytes[0] ^= 1;
        // Refused at the end of its file at the latest.
        let rest = std::iter::once(&chunk).chain(&all[at + 1..]);
        assert!(rest.map(|chunk| incoming.take(chunk)).any(|taken| taken.is_err()), "{:?}", flipped.place);
        why(incoming.take(flipped));
        why(joiner.install(incoming));
        assert_eq!((names(dir.path()), digest(&joiner)), (vec!["ledger".into(), "ledger.1".into()], before));
    }
    let mut cut = joiner.receive(&manifest_of(&snapshot)).expect("begun");
    all[..all.len() - 1].iter().for_each(|chunk| cut.take(chunk).expect("whole"));
    why(joiner.install(cut));
    assert_eq!(names(dir.path()), ["ledger", "ledger.1"]);
}

/// Files that come as they were told, and are not what the rest of the manifest says.
#[test]
fn a_ledger_that_is_not_what_its_manifest_says_is_refused() {
    let (_dir, _donor, snapshot) = donor();
    let (dir, joiner) = joined();
    let before = digest(&joiner);
    type Wrong = fn(&mut Manifest);
    let changes: [(&str, Wrong); 5] = [
        ("head", |m| m.head.position += 1),
        ("head", |m| m.head.hash.0[0] ^= 1),
        ("digest", |m| m.digest.0[0] ^= 1),
        ("progress", |m| m.progress = Some(b"4".to_vec())),
        ("progress", |m| m.progress = None),
    ];
    for (what, change) in changes {
        let mut manifest = snapshot.manifest().clone();
        change(&mut manifest);
        let incoming =
            sent_with(&manifest.to_bytes().expect("small"), &snapshot, &joiner).expect("its files are whole");
        assert!(why(joiner.install(incoming)).contains(&format!("another {what}")), "{what}");
    }
    assert_eq!((names(dir.path()), digest(&joiner)), (vec!["ledger".into(), "ledger.1".into()], before));
}

/// A ledger that somebody wrote in, with a manifest that fits what it holds now.
fn forged(change: impl FnOnce(&mut Store)) -> (Manifest, Vec<Vec<u8>>) {
    let (dir, replica, _) = donor();
    let (progress, head) = (replica.progress().expect("readable"), snapshot_head(&replica));
    drop(replica);
    let path = dir.path().join("ledger");
    let mut store = Store::open(&path).expect("there");
    change(&mut store);
    let digest = scan(&store).expect("readable").digest;
    drop(store);
    let read = |name: &String| std::fs::read(path.join(name)).expect("a file");
    let names = names(&path);
    let contents: Vec<_> = names.iter().map(read).collect();
    let listed = names.into_iter().zip(&contents).map(|(name, bytes)| Listed {
        name,
        size_bytes: u64::try_from(bytes.len()).expect("small"),
        hash: Digest(*blake3::hash(bytes).as_bytes()),
    });
    (Manifest { head, digest, progress, files: listed.collect() }, contents)
}

fn snapshot_head(state: &dyn State) -> Head {
    scan(state).expect("readable").totals.head
}

fn sent_by_hand(manifest: &Manifest, contents: &[Vec<u8>], to: &Replica) -> Incoming {
    let mut incoming = to.receive(&manifest.to_bytes().expect("small")).expect("begun");
    for (file, bytes) in contents.iter().enumerate() {
        for (i, piece) in bytes.chunks(CHUNK_BYTES).enumerate() {
            let place = Place { file, offset: u64::try_from(i * CHUNK_BYTES).expect("small") };
            incoming.take(&Chunk { place, bytes: piece.to_vec() }).expect("whole");
        }
    }
    incoming
}

#[test]
fn a_ledger_whose_rows_or_records_were_changed_is_refused_whatever_its_manifest_says() {
    let (dir, joiner) = joined();
    let before = digest(&joiner);
    let record = |store: &Store, position: u64| {
        let family = store.family(RECORDS).expect("there");
        store.db.delete_cf(family, position.to_be_bytes()).expect("deleted");
    };
    type Forgery = Box<dyn Fn(&mut Store)>;
    let changes: [(&str, Forgery); 5] = [
        ("L1", Box::new(|store| store.write(&[], &[a_rich_account()]).expect("written"))),
        ("log ends", Box::new(move |store| record(store, 3))),
        ("follow", Box::new(move |store| record(store, 1))),
        ("follow", Box::new(move |store| record(store, 2))),
        ("progress", Box::new(|store| store.leave_cluster().expect("left"))),
    ];
    for (what, change) in changes {
        let (manifest, contents) = forged(change);
        let refused = why(joiner.install(sent_by_hand(&manifest, &contents, &joiner)));
        assert!(refused.contains(what), "{what}: {refused}");
    }
    assert_eq!((names(dir.path()), digest(&joiner)), (vec!["ledger".into(), "ledger.1".into()], before));
    let (manifest, contents) = forged(|_| {});
    joiner.install(sent_by_hand(&manifest, &contents, &joiner)).expect("nothing was changed");
}

fn a_rich_account() -> Change {
    put(&BOB, &AccountRow { balance: Units(1), ..AccountRow::default() })
}

#[test]
fn a_node_never_gives_its_history_up_for_another_or_a_shorter_one() {
    let (_dir, _donor, snapshot) = donor();
    let log = records(Head::default(), events());
    let other = records(Head::default(), std::iter::repeat_n(Event::ClockDoubted {}, 4));
    let longer = [log.clone(), records(snapshot.manifest().head, [Event::ClockDoubted {}])].concat();
    for (ours, forks) in
        [(&log[..2], false), (&log[..], false), (&other[..1], true), (&other[..], true), (&longer, true)]
    {
        let (dir, node) = joined();
        node.apply(&[entry(ours, "0")]).expect("applied");
        let before = digest(&node);
        let incoming = sent(&snapshot, &node);
        let installed = node.install(incoming);
        assert_eq!(matches!(installed, Err(ReceiveError::Forked { .. })), forks, "{}", ours.len());
        assert_eq!(installed.is_ok(), !forks);
        assert_eq!(digest(&node), if forks { before } else { snapshot.manifest().digest });
        assert_eq!(names(dir.path()), ["ledger", if forks { "ledger.1" } else { "ledger.2" }]);
    }
}

#[test]
fn who_began_to_read_before_a_ledger_was_replaced_reads_to_the_end_what_was_there() {
    let (_dir, _donor, snapshot) = donor();
    let (dir, node) = joined();
    let log = records(Head::default(), events());
    node.apply(&[entry(&log[..1], "1")]).expect("applied");
    let before = digest(&node);
    let old = node.store();
    at_one_moment(&node, |moment| {
        node.install(sent(&snapshot, &node)).expect("whole");
        assert_eq!(digest(moment), before);
    });
    assert_eq!(digest(&node), snapshot.manifest().digest);
    // Written while it is read: nothing of it reaches the old one.
    node.apply(&[entry(&records(snapshot.manifest().head, [Event::ClockDoubted {}]), "4")]).expect("applied");
    assert_eq!((digest(&*old), old.record(2).expect("readable")), (before, None));
    assert_eq!(names(dir.path()), ["ledger", "ledger.1", "ledger.2"]);
    drop(old);
    assert_eq!(names(dir.path()), ["ledger", "ledger.2"]);
}

/// Progress is the position here: a snapshot that had one without the other would be refused by its manifest.
#[test]
fn a_snapshot_made_while_entries_are_applied_is_of_one_moment() {
    let (_dir, donor) = joined();
    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut head = Head::default();
            while !stopped.load(Ordering::Acquire) {
                let group = records(head, [Event::ClockDoubted {}]);
                head = Head { position: head.position + 1, hash: hash(&group[0]) };
                donor.apply(&[entry(&group, &head.position.to_string())]).expect("applied");
            }
        });
        let _stop = Stop(&stopped);
        let mut seen = BTreeSet::new();
        while seen.len() < 5 {
            let snapshot = Arc::new(donor.checkpoint().expect("made"));
            let position = snapshot.manifest().head.position;
            if position > 0 && seen.insert(position) {
                let (_dir, joiner) = joined();
                joiner.install(sent(&snapshot, &joiner)).expect("whole");
                assert_eq!(progress(&joiner), position.to_string());
            }
        }
    });
}

/// Stops a thread, also when its test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A single node's 100,000 events, of which every one left two rows.
#[test]
fn a_joiner_receives_the_whole_history_of_a_single_node() {
    const GROUPS: u32 = 200;
    const EVENTS: u32 = 500;
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = dir.path().join("ledger");
    let single = Store::create(&ledger).expect("new");
    let Some(Event::FundsCredited { order, .. }) = events().into_iter().next() else { panic!("credited first") };
    for i in 0..GROUPS {
        let credit = |j: u32| {
            let reference = format!("{i}/{j}");
            let mut peer = [0; 16];
            peer.copy_from_slice(&blake3::hash(reference.as_bytes()).as_bytes()[..16]);
            Event::FundsCredited { peer: PeerId(peer), amount: Units(1), reference, order: order.clone() }
        };
        let state: &dyn State = &single;
        let head = load::totals(&state).expect("readable").head;
        let record = Record::following(head, &FACTS, None, (0..EVENTS).map(credit).collect());
        let mut ws = load::for_records(&state, [&record]).expect("readable");
        apply::record(&mut ws, &record);
        single.write(&[record], &ws.changes()).expect("written");
    }
    let expected = digest(&single);
    drop(single);
    let donor = Replica::found(&ledger).expect("founded");
    donor.apply(&[entry(&[], "founded")]).expect("applied");
    let snapshot = Arc::new(donor.checkpoint().expect("made"));
    let chunks = each_chunk(&snapshot, Place::default()).count();
    assert!(chunks > snapshot.manifest().files.len(), "a file of several chunks");
    let (_joiner_dir, joiner) = joined();
    assert_eq!(joiner.install(sent(&snapshot, &joiner)).expect("whole").position, u64::from(GROUPS));
    assert_eq!((digest(&joiner), digest(&donor), progress(&joiner)), (expected, expected, "founded".into()));
    assert!(joiner.get(Table::References, b"199/499").expect("readable").is_some());
}
