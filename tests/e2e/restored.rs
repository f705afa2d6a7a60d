//! A broker restored from a backup, as a stranger's client meets it: which touchstones bring an e-coin back, and which do not.

use netpay_protocol::chain::{ChainMaster, PaywordChain};
use netpay_protocol::ids::{BrokerId, Kid};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::Redeem;
use netpay_protocol::problem::Kind;
use netpay_protocol::redemption::Verdict::{AlreadyPaid, Credited, Unauthorised, UnknownEcoin};
use netpay_protocol::redemption::{Claim, Statement, Verdict};
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;
use netpay_tests::forger::Forger;
use netpay_tests::lost;
use netpay_tests::processes::{Process, World, until};
use netpay_tests::raw_peer::{Coin, RawPeer, fresh_request, problem};

struct Given {
    world: World,
    broker: Option<Process>,
    id: BrokerId,
    alice: RawPeer,
    bob: RawPeer,
}

impl Given {
    /// Alice has 10,000 units in the backup.
    async fn backup() -> Self {
        let world = World::new();
        let id = world.init_broker(&[]).parse().expect("an id");
        let broker = Some(world.serve_broker());
        let connect = async || {
            let peer = RawPeer::connect(&world.nats_url(), id).await.expect("NATS is there");
            peer.join().await.expect("a good registration");
            peer
        };
        let (alice, bob) = (connect().await, connect().await);
        world.credit(&alice.id().to_string(), 10_000, "bank 1");
        lost::backup(&world, "backup");
        Self { world, broker, id, alice, bob }
    }

    fn lose_everything_since(&mut self) {
        lost::restored(&self.world, self.broker.take().expect("it runs"), "backup");
        self.broker = Some(self.world.serve_broker());
    }

    fn balance(&self, peer: &RawPeer) -> u64 {
        let shown = self.world.broker(&["account", "show", &peer.id().to_string()]);
        shown["balance_units"].as_u64().expect("a number")
    }

    fn position(&self) -> u64 {
        self.world.broker(&["ledger", "audit"])["position"].as_u64().expect("a number")
    }

    /// Alice's grant of the words through this one, claimed by bob.
    fn claim(&self, coin: &Coin, through: u32) -> Claim {
        RawPeer::claim(coin, &self.alice.grant(coin, (1, through + 1), self.bob.id()), through)
    }

    /// Bob's batch of these claims, with these touchstones.
    fn batch(&self, claims: Vec<Claim>, touchstones: &[&Coin]) -> Redeem {
        let touchstones = touchstones.iter().map(|coin| coin.touchstone.clone()).collect();
        Redeem { touchstones, ..self.bob.batch(claims) }
    }

    async fn redeem(&self, claims: Vec<Claim>, touchstones: &[&Coin]) -> Vec<(Verdict, u32)> {
        lines(&self.bob.redeem(&self.batch(claims, touchstones)).await.expect("a statement"))
    }
}

fn lines(statement: &Statement) -> Vec<(Verdict, u32)> {
    statement.lines.iter().map(|line| (line.verdict, line.credited.0)).collect()
}

#[tokio::test]
async fn lost_e_coins_come_back_in_the_same_batch_as_known_and_unknown_ones_and_once() {
    let mut given = Given::backup().await;
    let lost_coins = given.alice.buy(&given.alice.order(10, 3, Suite::Sha256)).await.expect("bought");
    given.lose_everything_since();
    let known = given.alice.buy(&given.alice.order(10, 1, Suite::Sha256)).await.expect("bought").remove(0);
    let [a, b, c] = [&lost_coins[0], &lost_coins[1], &lost_coins[2]];
    let claims = vec![given.claim(&known, 4), given.claim(a, 3), given.claim(b, 2), given.claim(c, 10)];
    let batch = given.batch(claims.clone(), &[a, c]);
    let statement = given.bob.redeem(&batch).await.expect("a statement");
    assert_eq!(lines(&statement), [(Credited, 4), (Credited, 3), (UnknownEcoin, 0), (Credited, 10)]);
    assert_eq!((given.balance(&given.alice), given.balance(&given.bob)), (10_000 - 30, 17));
    let again = given.bob.redeem(&batch).await.expect("the same bytes");
    assert_eq!((again.lines, again.head), (statement.lines, statement.head));
    let once_more = given.redeem(claims, &[a, b, c]).await;
    assert_eq!(once_more, [(AlreadyPaid, 0), (AlreadyPaid, 0), (Credited, 2), (AlreadyPaid, 0)]);
    assert_eq!((given.balance(&given.alice), given.balance(&given.bob)), (10_000 - 40, 19));
    assert_eq!(given.world.broker(&["ledger", "audit"])["ok"], true);
}

/// Each is good but for one thing, and most are signed with the broker's own key.
#[tokio::test]
async fn a_touchstone_that_is_not_a_lost_e_coins_brings_nothing_back_and_debits_nobody() {
    let mut given = Given::backup().await;
    let coin = given.alice.buy_one(10, Suite::Sha256, 1, Guarantee::Bearer).await.expect("bought");
    given.lose_everything_since();
    let forger = Forger::of(&given.world);
    let own = forger.key("touchstone");
    let master = ChainMaster::new(*forger.key("chain-master-1").seed());
    let made = |key: &SigningKey, change: &dyn Fn(&mut Touchstone)| {
        let mut t = coin.touchstone.content.clone();
        t.ecoin = netpay_protocol::ids::EcoinId(fresh_request().0);
        let last = master.last_word(t.suite, &t.ecoin, t.n);
        let chain = PaywordChain::below(t.suite, &t.ecoin, t.n, last);
        t.root = chain.root();
        change(&mut t);
        Coin { touchstone: Signed::new(t, key), chain }
    };
    let statement_key = forger.key("statement");
    let forged = [
        ("by its payer", made(&given.alice.key, &|_| ())),
        ("by a key for other things", made(&statement_key, &|t| t.kid = Kid::of(&statement_key.public()))),
        ("of this life", made(&own, &|t| t.incarnation = u64::MAX)),
        ("from before the backup", made(&own, &|t| t.issued_at_ms -= 3_600_000)),
        ("of another broker", made(&own, &|t| t.broker = BrokerId([9; 16]))),
        ("with words of somebody else's", forger.coin(&coin, |_| ())),
    ];
    let before = given.position();
    for (what, coin) in &forged {
        let claims = vec![given.claim(coin, 5)];
        assert_eq!(given.redeem(claims, &[coin]).await, [(UnknownEcoin, 0)], "{what}");
    }
    // Overheard, and brought by somebody who was granted nothing on it, beside a good claim.
    let grant = given.bob.grant(&coin, (1, 6), given.bob.id());
    assert_eq!((given.position(), given.balance(&given.alice)), (before, 10_000));
    let known = given.alice.buy_one(7, Suite::Sha256, 1, Guarantee::Bearer).await.expect("bought");
    let claims = vec![RawPeer::claim(&coin, &grant, 5), given.claim(&known, 7)];
    assert_eq!(given.redeem(claims, &[&coin]).await, [(Unauthorised, 0), (Credited, 7)]);
    assert_eq!(given.balance(&given.alice), 10_000 - 7);

    given.broker.take().expect("it runs").kill();
    given.world.broker(&["key", "rotate", "touchstone", "--revoke"]);
    given.broker = Some(given.world.serve_broker());
    assert_eq!(given.redeem(vec![given.claim(&coin, 5)], &[&coin]).await, [(UnknownEcoin, 0)], "a revoked key");
    assert_eq!(given.balance(&given.alice), 10_000 - 7);
}

#[tokio::test]
async fn as_many_e_coins_come_back_by_one_batch_as_touchstones_fit_it_and_not_one_more() {
    let mut given = Given::backup().await;
    let mut coins = given.alice.buy(&given.alice.order(2, 256, Suite::Sha256)).await.expect("bought");
    coins.extend(given.alice.buy(&given.alice.order(2, 1, Suite::Sha256)).await.expect("bought"));
    given.lose_everything_since();
    let all: Vec<_> = coins.iter().collect();
    let claims: Vec<_> = coins.iter().map(|coin| given.claim(coin, 2)).collect();
    let refused = given.bob.ask(BrokerOp::Redeem, wire::encode(&given.batch(claims.clone(), &all))).await;
    assert_eq!(problem(refused).kind, Kind::TooLarge);
    let done = given.redeem(claims[..256].to_vec(), &all[..256]).await;
    assert!(done.len() == 256 && done.iter().all(|line| *line == (Credited, 2)));
    assert_eq!((given.balance(&given.alice), given.balance(&given.bob)), (10_000 - 512, 512));
    assert_eq!(given.redeem(claims[256..].to_vec(), &all[256..]).await, [(Credited, 2)]);
    assert_eq!(given.world.broker(&["ledger", "audit"])["ok"], true);
}

#[tokio::test]
async fn who_brings_forged_touchstones_is_soon_busy_and_nobody_else_waits() {
    let mut given = Given::backup().await;
    let coin = given.alice.buy_one(4_096, Suite::Sha256, 1, Guarantee::Bearer).await.expect("bought");
    let carol = RawPeer::connect(&given.world.nats_url(), given.id).await.expect("NATS is there");
    carol.join().await.expect("a good registration");
    given.lose_everything_since();
    let forger = Forger::of(&given.world);
    let key = forger.key("touchstone");
    // Signed by the broker's own key, which a stranger does not have: what costs most to refuse.
    let forged = || {
        let mut t = coin.touchstone.content.clone();
        t.ecoin = netpay_protocol::ids::EcoinId(fresh_request().0);
        t.root = Payword::unchecked([1; 32]);
        Coin { touchstone: Signed::new(t, &key), chain: coin.chain.clone() }
    };
    let batch = || {
        let coins: Vec<_> = (0..256).map(|_| forged()).collect();
        let claims = coins.iter().map(|coin| given.claim(coin, 1)).collect();
        given.batch(claims, &coins.iter().collect::<Vec<_>>())
    };
    let mut answers = Vec::new();
    for _ in 0..4 {
        let answer = given.bob.ask(BrokerOp::Redeem, wire::encode(&batch())).await;
        answers.push(answer.map_err(|error| problem::<()>(Err(error)).kind).map(|_| ()));
    }
    assert!(answers[0].is_ok());
    assert_eq!(answers.pop().expect("four"), Err(Kind::Busy), "8 million steps were not done for it");
    let grant = given.alice.grant(&coin, (1, 6), carol.id());
    let honest =
        Redeem { touchstones: vec![coin.touchstone.clone()], ..carol.batch(vec![RawPeer::claim(&coin, &grant, 5)]) };
    assert_eq!(lines(&carol.redeem(&honest).await.expect("at once")), [(Credited, 5)]);
}

#[tokio::test]
async fn without_a_restored_backup_and_after_reconciling_touchstones_bring_nothing() {
    let mut given = Given::backup().await;
    let coins = given.alice.buy(&given.alice.order(10, 2, Suite::Sha256)).await.expect("bought");
    given.lose_everything_since();
    assert_eq!(given.redeem(vec![given.claim(&coins[0], 5)], &[&coins[0]]).await, [(Credited, 5)]);
    let view = given.world.broker(&["ledger", "reconcile", "--reason", "gone through"]);
    assert_eq!(view["reconciled"], true, "{view}");
    assert_eq!(given.redeem(vec![given.claim(&coins[1], 5)], &[&coins[1]]).await, [(UnknownEcoin, 0)]);
    assert_eq!(given.redeem(vec![given.claim(&coins[0], 6)], &[&coins[0]]).await, [(Credited, 1)]);
    assert_eq!(given.balance(&given.alice), 10_000 - 10);
}

#[test]
fn a_restore_that_is_killed_leaves_no_ledger_or_the_whole_one() {
    let world = World::without_nats();
    world.init_broker(&[]);
    lost::backup(&world, "backup");
    let backed_up = world.broker(&["ledger", "audit"])["position"].as_u64().expect("a number");
    lost::lose(&world);
    let restore = ["--json", "backup", "restore", "backup", "--config", "broker"];
    for (point, in_place) in [("backup.copied", false), ("backup.life-begun", false), ("backup.in-place", true)] {
        let variables = [("NETPAY_CRASH_AT".to_owned(), point.to_owned())];
        let mut killed = world.start_with("netpay-broker", &restore, &variables, "restore.log");
        let code = until("its end", || killed.ended());
        assert_ne!(code, Some(0), "{point}: {}", killed.said());
        assert_eq!(world.path("broker/ledger").exists(), in_place, "{point}");
    }
    let audit = world.broker(&["ledger", "audit"]);
    assert_eq!((&audit["ok"], &audit["position"]), (&true.into(), &(backed_up + 1).into()));
    let again = world.run("netpay-broker", &restore);
    assert!(again.code == 1 && again.errors.contains("already"), "{again:?}");
}
