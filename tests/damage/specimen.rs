//! The ledger that is damaged: small, made by a real broker's commands, in sorted files and in the write-ahead log. Its
//! first life was four months ago, so that e-coins were refunded.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use netpay_broker::ports::state::scan;
use netpay_broker::store::Store;
use netpay_ledger::memory::Memory;
use netpay_ledger::record::Record;
use netpay_protocol::ids::Digest;
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::messages::Buy;
use netpay_protocol::redemption::Head;
use netpay_protocol::suite::Suite;
use netpay_tests::events;
use netpay_tests::processes::{World, until};
use netpay_tests::raw_peer::{Coin, RawPeer};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long ago the first life was: e-coins can be redeemed for 120 days, and are refunded a day later.
const PAST_DAYS: u64 = 122;
/// Every kind of event that a broker has by itself, without a backup, an off-line peer's keys, or a debtor's money.
const KINDS: [&str; 14] = [
    "AccountOpened",
    "AccountReinstated",
    "AccountSuspended",
    "BatchRedeemed",
    "BrokerKeysRotated",
    "ClockConfirmed",
    "ClockDoubted",
    "DoubleSpendDetected",
    "EcoinExpired",
    "EcoinsIssued",
    "FundsCredited",
    "PayoutFailed",
    "PayoutRequested",
    "PayoutSettled",
];

/// See the module.
pub struct Specimen {
    dir: TempDir,
    /// The true log: every head with the digest of the rows at it, from the empty ledger on.
    pub truth: Vec<(Head, Digest)>,
    /// The last statement's head: what a client holds against a ledger that lost something.
    pub seen: Head,
}

impl Specimen {
    /// Makes one.
    pub fn make() -> Self {
        let world = World::new();
        world.set_clock(&format!("-{PAST_DAYS}d"));
        let broker = world.init_broker(&[]).parse().expect("an id");
        let runtime = Runtime::new().expect("threads");
        let seen = runtime.block_on(async {
            let peer = RawPeer::connect(&world.nats_url(), broker).await.expect("NATS is there");
            let (alice, bob, carol) = (peer.puppet(), peer.puppet(), peer.puppet());
            let serving = world.serve_broker();
            first_life(&world, &alice, &bob, &carol).await;
            assert_eq!(serving.terminate(), Some(0));
            world.set_clock("+0");
            let serving = world.serve_broker();
            second_life(&world, &alice);
            assert_eq!(serving.terminate(), Some(0));
            world.broker(&["key", "rotate", "statement"]);
            // What one life left in its log the next one sorts into files.
            let serving = world.serve_broker();
            let seen = third_life(&world, &alice, &bob).await;
            serving.kill();
            seen
        });
        let dir = place_for_copies();
        copy(&world.path("broker/ledger"), dir.path());
        let truth = truth(dir.path());
        assert_eq!(
            truth.last().map(|(head, _)| *head),
            Some(seen),
            "the last thing done was answered with a statement"
        );
        Self { dir, truth, seen }
    }

    /// The files of the directory, by name.
    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).expect("a directory");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The write-ahead log.
    pub fn log(&self) -> String {
        let length = |name: &String| fs::metadata(self.dir.path().join(name)).expect("there").len();
        let logs = self.files().into_iter().filter(|name| name.ends_with(".log") && length(name) > 0);
        logs.max().expect("a write-ahead log that is not empty")
    }

    /// What a file holds.
    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(name)).expect("a file")
    }

    /// A copy of the directory with this file changed.
    pub fn with(&self, name: &str, bytes: &[u8]) -> TempDir {
        let damaged = place_for_copies();
        copy(self.dir.path(), damaged.path());
        fs::write(damaged.path().join(name), bytes).expect("written");
        damaged
    }
}

/// In memory where there is such a place: a disk would be asked to sync thousands of copies.
fn place_for_copies() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("readable").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}

/// Buys in the first life, by whose clock the order would be good for months.
async fn buy_then(payer: &RawPeer, mut order: Buy) -> Vec<Coin> {
    order.buy.content.valid_until_ms -= PAST_DAYS * DAY_MS;
    order.buy = payer.sign(order.buy.content);
    payer.buy(&order).await.expect("bought")
}

async fn first_life(world: &World, alice: &RawPeer, bob: &RawPeer, carol: &RawPeer) {
    world.credit(&alice.id().to_string(), 1_000, "a deposit");
    let mut coins = buy_then(alice, alice.order(40, 4, Suite::Sha256)).await;
    coins.extend(buy_then(alice, alice.order(40, 4, Suite::Md5)).await);
    for (coin, through) in coins.iter().zip(3..) {
        let grant = alice.grant(coin, (1, through + 1), bob.id());
        bob.redeem(&bob.batch(vec![RawPeer::claim(coin, &grant, through)])).await.expect("a statement");
    }
    let cheat = alice.puppet();
    world.credit(&cheat.id().to_string(), 10, "a cheat's deposit");
    let coin = buy_then(&cheat, cheat.order(10, 1, Suite::Sha256)).await.remove(0);
    for payee in [bob, carol] {
        let grant = cheat.grant(&coin, (1, 6), payee.id());
        payee.redeem(&payee.batch(vec![RawPeer::claim(&coin, &grant, 5)])).await.expect("a statement");
    }
}

/// The clock has leapt: it is confirmed, and what was not redeemed is refunded.
fn second_life(world: &World, alice: &RawPeer) {
    let id = alice.id().to_string();
    let confirm = ["--json", "ledger", "confirm-clock", "--reason", "that long", "--config", "broker"];
    until("a clock in doubt", || (world.run("netpay-broker", &confirm).code == 0).then_some(()));
    let paid: u64 = (3..11).sum();
    until("the refunds", || (world.broker(&["account", "show", &id])["balance_units"] == 1_000 - paid).then_some(()));
    world.broker(&["account", "suspend", &id]);
    world.broker(&["account", "reinstate", &id]);
}

/// Ends with a statement, whose head it returns.
async fn third_life(world: &World, alice: &RawPeer, bob: &RawPeer) -> Head {
    for (verb, option) in [("settle", "--reference"), ("fail", "--reason")] {
        let payout = bob.pay_out(&bob.withdrawal(2, "bob's bank")).await.expect("requested");
        world.broker(&["payout", verb, &bob.id().to_string(), &payout.request.to_string(), option, "4711"]);
    }
    // The write-ahead log is read in blocks of 32 KiB: it must have several of them, for one that is lost to leave a gap.
    for _ in 0..6 {
        alice.buy(&alice.order(1, 30, Suite::Sha256)).await.expect("bought");
    }
    let coins = alice.buy(&alice.order(40, 4, Suite::Sha256)).await.expect("bought");
    let grants = coins.iter().map(|coin| (coin, alice.grant(coin, (20, 31), bob.id())));
    let batch = bob.batch(grants.map(|(coin, grant)| RawPeer::claim(coin, &grant, 30)).collect());
    bob.redeem(&batch).await.expect("a statement");
    // Small records come last: every byte of them is going to be cut off.
    let id = alice.puppet().id().to_string();
    world.credit(&id, 1, "a last deposit");
    world.broker(&["account", "suspend", &id]);
    world.broker(&["account", "reinstate", &id]);
    world.credit(&id, 1, "the very last");
    // The same batch again shows where the ledger stands now.
    bob.redeem(&batch).await.expect("a statement").head
}

/// Replays the log in memory.
fn truth(dir: &Path) -> Vec<(Head, Digest)> {
    let store = Store::open_read_only(dir).expect("not damaged yet");
    let (mut memory, mut head, mut kinds) = (Memory::default(), Head::default(), BTreeSet::new());
    let mut truth = vec![(head, memory.scan().digest)];
    let read = store.each_record(1, &mut |_, bytes| {
        let (record, next) = Record::read(bytes, head)?;
        head = next;
        memory.replay(&record);
        kinds.extend(record.events.iter().map(events::name));
        truth.push((head, memory.scan().digest));
        Ok(())
    });
    read.expect("not damaged yet");
    assert_eq!(kinds.iter().copied().collect::<Vec<_>>(), KINDS);
    assert_eq!(scan(&store).expect("not damaged yet").digest, memory.scan().digest);
    truth
}
