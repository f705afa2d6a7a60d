//! The drill: a broker loses its ledger and goes on from a backup. What every peer wrote down is what it has in the end; what
//! the operator lost is in events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use netpay_protocol::ids::{BrokerId, PeerId};
use netpay_protocol::messages::Redeem;
use netpay_protocol::redemption::Verdict;
use netpay_protocol::suite::Suite;
use netpay_tests::lost;
use netpay_tests::processes::{Process, World, until};
use netpay_tests::raw_peer::{Coin, RawPeer};
use netpay_tests::town::Town;
use serde_json::Value;

/// A buyer and a payee who trade without a pause.
struct Load {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: JoinHandle<Vec<Coin>>,
}

/// What each round of the load is worth.
const ROUND_UNITS: u32 = 3;

impl Load {
    fn start(world: &World, id: BrokerId, seeds: [u8; 2]) -> Self {
        let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (until, counted, url) = (Arc::clone(&stop), Arc::clone(&rounds), world.nats_url());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let (payer, payee) = (seeded(&url, id, seeds[0]).await, seeded(&url, id, seeds[1]).await);
                let mut coins = Vec::new();
                while !until.load(Ordering::Relaxed) {
                    let coin = payer.buy(&payer.order(10, 1, Suite::Sha256)).await.expect("sold").remove(0);
                    payee.redeem(&payee.batch(vec![claim(&payer, &coin, payee.id())])).await.expect("a statement");
                    coins.push(coin);
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                coins
            })
        });
        Self { stop, rounds, thread }
    }

    /// Waits for some more rounds.
    fn go_on(&self) {
        let before = self.rounds.load(Ordering::Relaxed);
        until("some load", || {
            assert!(!self.thread.is_finished(), "the load ended by itself");
            (self.rounds.load(Ordering::Relaxed) >= before + 5).then_some(())
        });
    }

    /// Every e-coin of which a statement said that it was paid.
    fn end(self) -> Vec<Coin> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no statement was refused")
    }
}

fn claim(payer: &RawPeer, coin: &Coin, payee: PeerId) -> netpay_protocol::redemption::Claim {
    RawPeer::claim(coin, &payer.grant(coin, (1, ROUND_UNITS + 1), payee), ROUND_UNITS)
}

async fn seeded(url: &str, id: BrokerId, seed: u8) -> RawPeer {
    let peer = RawPeer::with_seed(url, id, &[seed; 32]).await.expect("NATS is there");
    peer.join().await.expect("a good registration");
    peer
}

fn account(world: &World, peer: &str) -> Value {
    world.broker(&["account", "show", peer])
}

fn balance(world: &World, peer: &str) -> u64 {
    account(world, peer)["balance_units"].as_u64().expect("a number")
}

fn get(town: &Town, who: &str, content: &str, from: &str) -> u64 {
    let output = format!("{who}-{content}.bin");
    let got = town.peer(who, &["get", content, "--from", from, "--max-price", "500", "-o", &output]);
    got["paid_units"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restored_backup_every_honest_peer_has_what_it_earned() {
    let mut town = Town::without_index();
    let id: BrokerId = town.id.parse().expect("an id");
    let alice = town.join_with_money("alice", 200);
    let (bob, carol) = (town.join("bob"), town.join("carol"));
    let url = town.world.nats_url();
    let (dave, erin) = (seeded(&url, id, 31).await, seeded(&url, id, 32).await);
    town.world.credit(&dave.id().to_string(), 100_000, "load");
    let mallory = RawPeer::connect(&town.world.nats_url(), id).await.expect("NATS is there");
    mallory.join().await.expect("a good registration");
    town.world.credit(&mallory.id().to_string(), 4_096, "mallory");
    let (song, _) = town.share("bob", "song.bin", 400_000, 30);
    let (film, _) = town.share("bob", "film.bin", 300_000, 180);
    let (poem, _) = town.share("carol", "poem.bin", 200_000, 20);
    let bobs_serve = town.serve("bob");
    let carols_serve = town.serve("carol");

    // Before the backup: a trade, and a payout that is asked for.
    town.peer("alice", &["buy", "--n", "50"]);
    assert_eq!(get(&town, "alice", &song, &bob), 30);
    assert_eq!(town.peer("bob", &["redeem"])["credited_units"], 30);
    let payout = town.peer("bob", &["payout", "10", "--to", "bob's bank"]);
    let payout = payout["request"].as_str().expect("an id").to_owned();

    // The backup, under load, and what it says of itself.
    let load = Load::start(&town.world, id, [31, 32]);
    load.go_on();
    let made = lost::backup(&town.world, "backup");
    load.go_on();
    let coins = load.end();
    let rounds = u64::try_from(coins.len()).expect("few");
    assert!(
        made["position"].as_u64() < town.world.broker(&["ledger", "audit"])["position"].as_u64(),
        "more came after"
    );

    // After the backup: a deposit, purchases, redemptions, the payout paid, words spent twice.
    town.world.credit(&alice, 100, "bank 2");
    let bought = town.peer("alice", &["buy", "--n", "200"]);
    assert_eq!(get(&town, "alice", &film, &bob), 180);
    assert_eq!(get(&town, "alice", &poem, &carol), 20);
    assert_eq!(town.peer("bob", &["redeem"])["credited_units"], 180);
    town.world.broker(&["payout", "settle", &bob, &payout, "--reference", "wire 1"]);
    let spent_twice = mallory.buy(&mallory.order(4_096, 1, Suite::Sha256)).await.expect("bought").remove(0);
    for (payee, content) in [(&bob, &song), (&carol, &poem)] {
        let payee = payee.parse().expect("an id");
        let quoted = mallory.quote(payee, content.parse().expect("an id")).await.expect("quoted");
        mallory.pay(&spent_twice, (1, 6), &quoted).await.expect("taken");
    }
    assert_eq!(town.peer("bob", &["redeem"])["credited_units"], 5);
    assert_eq!((balance(&town.world, &alice), balance(&town.world, &bob)), (50, 205));
    assert_eq!(carols_serve.terminate(), Some(0));

    // The ledger is lost.
    let restored = lost::restored(&town.world, town.broker.take().expect("it runs"), "backup");
    assert_eq!(restored["restored_position"], made["position"], "{restored}");
    town.broker = Some(town.world.serve_broker());
    // Bob's serve hears of it and asks again by itself.
    until("what bob earned", || (balance(&town.world, &bob) == 205).then_some(()));
    // Alice's e-coin came back, and her deposit did not: the operator lent what is missing.
    assert_eq!(
        (&account(&town.world, &alice)["balance_units"], &account(&town.world, &alice)["debt_units"]),
        (&0.into(), &50.into())
    );
    // Carol comes second with mallory's words; her e-coins of alice's are good.
    let redeemed = town.peer("carol", &["redeem"]);
    assert_eq!(redeemed["credited_units"], 20, "{redeemed}");
    let spends = town.world.broker(&["doublespend", "list"]);
    assert_eq!(spends["double_spends"].as_array().map(Vec::len), Some(1), "{spends}");
    assert_eq!(account(&town.world, &mallory.id().to_string())["suspended"], true);
    // The list of the new life reaches payees, whatever they held of the earlier one.
    let more = refused_as_suspended(&mallory, &spent_twice, bob.parse().expect("an id"), &song).await;
    town.peer("bob", &["redeem"]);
    let bobs = 205 + more;

    // What was credited under load is asked for again, with touchstones.
    for part in coins.chunks(100) {
        let claims = part.iter().map(|coin| claim(&dave, coin, erin.id())).collect();
        let touchstones = part.iter().map(|coin| coin.touchstone.clone()).collect();
        let statement = erin.redeem(&Redeem { touchstones, ..erin.batch(claims) }).await.expect("a statement");
        assert!(statement.lines.iter().all(|line| matches!(line.verdict, Verdict::Credited | Verdict::AlreadyPaid)));
    }
    assert_eq!(balance(&town.world, &erin.id().to_string()), rounds * u64::from(ROUND_UNITS));
    assert_eq!(balance(&town.world, &dave.id().to_string()), 100_000 - rounds * 10);

    frozen_until_reconciled(&town, &bob, &payout);
    // The deposits again: the one that is there already is not credited twice.
    town.world.credit(&alice, 100, "bank 2");
    town.world.credit(&alice, 200, "alice");
    let nobody = "0".repeat(32);
    let ecoin = bought["ecoins"][0]["ecoin"].as_str().expect("an id").to_owned();
    town.world.broker(&["ledger", "reconcile", "--reason", "bank list gone through"]);
    town.world.broker(&["account", "settle-debt", &alice, &nobody, &ecoin]);
    town.world.broker(&["payout", "settle", &bob, &payout, "--reference", "wire 1"]);

    let earned = [(&alice, 50), (&bob, bobs), (&carol, 20)];
    for (peer, units) in earned {
        let shown = account(&town.world, peer);
        assert_eq!((&shown["balance_units"], &shown["debt_units"]), (&units.into(), &0.into()), "{shown}");
    }
    for (name, units) in [("bob", i64::try_from(bobs).expect("small")), ("carol", 20)] {
        let moved: i64 = town.peer(name, &["history", "--limit", "1000"])["entries"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|entry| entry["balance_units"].as_i64())
            .sum();
        assert_eq!(moved, units, "what {name} wrote down");
    }
    let audit = town.world.broker(&["ledger", "audit"]);
    assert_eq!((&audit["ok"], &audit["imbalance_units"]), (&true.into(), &0.into()), "{audit}");
    another_life(&mut town, &restored, bobs_serve, (&bob, bobs));
}

/// Whoever is on the list that bob holds pays nothing more, however little it is. Answers what was paid before.
async fn refused_as_suspended(mallory: &RawPeer, coin: &Coin, bob: PeerId, song: &str) -> u64 {
    for through in 6..coin.touchstone.content.n.0 {
        let quoted = mallory.quote(bob, song.parse().expect("an id")).await.expect("quoted");
        match mallory.pay(coin, (6, through + 1), &quoted).await {
            // The list is on its way.
            Ok(_) => {}
            Err(error) => {
                assert!(format!("{error:#}").contains("revocation list"), "{error:#}");
                return u64::from(through - 6);
            }
        }
    }
    panic!("bob never heard that mallory is suspended");
}

fn frozen_until_reconciled(town: &Town, bob: &str, payout: &str) {
    let settle = ["--json", "payout", "settle", bob, payout, "--reference", "wire 1", "--config", "broker"];
    let early = town.world.run("netpay-broker", &settle);
    assert!(early.code == 75 && early.errors.contains("reconcile"), "{early:?}");
}

/// The same backup once more: a later life than that one, and nobody loses anything again.
fn another_life(town: &mut Town, first: &Value, bobs_serve: Process, (bob, bobs): (&str, u64)) {
    let second = lost::restored(&town.world, town.broker.take().expect("it runs"), "backup");
    assert!(second["incarnation"].as_u64() > first["incarnation"].as_u64(), "{second}");
    town.broker = Some(town.world.serve_broker());
    until("what bob earned", || (balance(&town.world, bob) == bobs).then_some(()));
    assert_eq!(town.peer("carol", &["redeem"])["credited_units"], 20);
    assert_eq!(town.world.broker(&["ledger", "audit"])["ok"], true);
    assert_eq!(bobs_serve.terminate(), Some(0));
}
