//! What one message, and one peer, can make the broker do for nothing. Processor time and memory are the broker's own, as
//! the kernel counts them; they are printed, and bounded with room for a slow machine.

use std::time::{Duration, Instant};

use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::ids::EcoinId;
use netpay_protocol::problem::Kind;
use netpay_protocol::redemption::{Claim, Line, Verdict};
use netpay_protocol::subjects::BrokerOp;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;
use netpay_tests::raw_peer::{Coin, RawPeer, fresh_request, problem};

use crate::scene::{Scene, lines};

const CLAIMS: u32 = 2_048;
/// Through word 4,096, so many claims are the 2^20 steps of a batch.
const LONGEST: u32 = 256;

/// The broker's process, as the kernel sees it.
struct Meter(u32);

impl Meter {
    fn of(scene: &Scene) -> Self {
        Self(scene.town.broker.as_ref().expect("it serves").pid())
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.0)).expect("it runs")
    }

    /// User and system time; the kernel counts hundredths of a second.
    fn processor(&self) -> Duration {
        let text = self.file("stat");
        let after_name = text.rsplit(") ").next().expect("a state");
        let ticks = after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    fn memory_kib(&self, field: &str) -> u64 {
        let text = self.file("status");
        let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("a field");
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number")
    }

    /// What is asked for is measured, printed, and within its bounds.
    async fn bounds<T>(&self, what: &str, most: (Duration, u64), asked: impl Future<Output = T>) -> T {
        // 5: the peak begins anew.
        std::fs::write(format!("/proc/{}/clear_refs", self.0), "5").expect("our own process");
        let (processor, before_kib, start) = (self.processor(), self.memory_kib("VmRSS:"), Instant::now());
        let answer = asked.await;
        let (processor, wall) = (self.processor() - processor, start.elapsed());
        let grown_kib = self.memory_kib("VmHWM:").saturating_sub(before_kib);
        let cost = format!("{what}: {processor:?} of processor, answered after {wall:.0?}, {grown_kib} KiB more");
        println!("{cost}");
        assert!(processor <= most.0 && grown_kib <= most.1 * 1_024, "{cost}");
        answer
    }
}

/// A grant of words 1 to `through`, and a word that is not on the chain: the most hashes that a claim can ask for.
fn off_the_chain(payer: &RawPeer, coin: &Coin, through: u32, payee: &RawPeer) -> Claim {
    let index = payer.grant(coin, (1, through + 1), payee.id());
    // Another position's: with padding that an md5 word does not have, it would cost nothing.
    let word = coin.chain.word(PaywordIndex(1_000)).expect("on the chain");
    Claim { index, through: PaywordIndex(through), word }
}

fn times<T: Clone>(item: T, count: u32) -> Vec<T> {
    vec![item; usize::try_from(count).expect("small")]
}

/// Whether every line is this, however many there are.
async fn all_are(payee: &RawPeer, claims: Vec<Claim>, verdict: Verdict) {
    let found = lines(payee, claims).await;
    assert!(found.iter().all(|line| *line == Line::refused(verdict)), "{:?}", found[0]);
}

#[tokio::test]
async fn one_message_at_every_limit_costs_a_bounded_time_and_memory_and_one_beyond_next_to_nothing() {
    let scene = Scene::alone().await;
    let (meter, alice) = (Meter::of(&scene), scene.honest(10_000).await);
    let coin = scene.coin(&alice, 4_096, Suite::Sha256).await;
    let paper = scene.coin(&alice, 4_096, Suite::Md5).await;
    let heavy = (Duration::from_secs(2), 48);
    let light = (Duration::from_millis(300), 24);

    // Each is sent by a puppet of its own, whose budget is full.
    for coin in [&coin, &paper] {
        let mallory = scene.cheat(0).await;
        let claims = times(off_the_chain(&alice, coin, 4_096, &mallory), LONGEST);
        let what = format!("2^20 steps of {}", coin.touchstone.content.suite);
        meter.bounds(&what, heavy, all_are(&mallory, claims, Verdict::Invalid)).await;
    }
    let mallory = scene.cheat(0).await;
    let claims = times(off_the_chain(&alice, &coin, 512, &mallory), CLAIMS);
    meter.bounds("2,048 claims and 2^20 steps", heavy, all_are(&mallory, claims, Verdict::Invalid)).await;
    let mallory = scene.cheat(0).await;
    let claims = times(off_the_chain(&mallory, &coin, 1, &mallory), CLAIMS);
    meter.bounds("2,048 forged grants", heavy, all_are(&mallory, claims, Verdict::Unauthorised)).await;
    let mallory = scene.cheat(0).await;
    let unknown = (0..CLAIMS).map(|_| {
        let mut claim = off_the_chain(&alice, &coin, 512, &mallory);
        claim.index.content.ecoin = EcoinId(fresh_request().0);
        claim
    });
    let unknown = unknown.collect();
    meter.bounds("2,048 unknown e-coins", heavy, all_are(&mallory, unknown, Verdict::UnknownEcoin)).await;

    // One beyond each limit.
    let mallory = scene.cheat(0).await;
    let mut claims = times(off_the_chain(&alice, &coin, 4_096, &mallory), LONGEST - 1);
    claims.push(off_the_chain(&alice, &coin, 4_097, &mallory));
    let one_step_more = wire::encode(&mallory.batch(claims));
    let one_claim_more = wire::encode(&mallory.batch(times(off_the_chain(&alice, &coin, 1, &mallory), CLAIMS + 1)));
    let mut touchstones = mallory.batch(vec![off_the_chain(&alice, &coin, 1, &mallory)]);
    touchstones.touchstones = times(coin.touchstone.clone(), 257);
    let one_touchstone_more = wire::encode(&touchstones);
    touchstones.touchstones = times(coin.touchstone.clone(), 3_500);
    let many_touchstones = wire::encode(&touchstones);
    assert!((900_000..1_000_000).contains(&many_touchstones.len()), "{}", many_touchstones.len());
    for (what, bytes, kind) in [
        ("2^20 + 1 steps", one_step_more, Kind::TooLarge),
        ("2,049 claims", one_claim_more, Kind::Malformed),
        ("257 touchstones", one_touchstone_more, Kind::TooLarge),
        ("a message full of touchstones", many_touchstones, Kind::TooLarge),
        ("1,000,000 bytes of small items", vec![0; 1_000_000], Kind::Malformed),
        ("1,000,000 bytes of nested lists", vec![0x81; 1_000_000], Kind::Malformed),
        ("1,000,000 bytes of endless lists", vec![0x9f; 1_000_000], Kind::Malformed),
        ("1,000,001 bytes", vec![0; 1_000_001], Kind::TooLarge),
    ] {
        let refused = meter.bounds(what, light, mallory.ask(BrokerOp::Redeem, bytes)).await;
        assert_eq!(problem(refused).kind, kind, "{what}");
    }
    scene.ends_well().await;
}

/// Packs claims into batches within their limits.
fn packed(claims: impl Iterator<Item = Claim>) -> Vec<Vec<Claim>> {
    let mut batches: Vec<Vec<Claim>> = vec![vec![]];
    let mut steps = 0;
    for claim in claims {
        steps += claim.through.0;
        if steps > 1 << 20 {
            steps = claim.through.0;
            batches.push(vec![]);
        }
        batches.last_mut().expect("there is one").push(claim);
    }
    batches
}

#[tokio::test]
async fn claims_across_an_e_coin_that_was_paid_word_by_word_do_not_hold_up_the_writer() {
    let scene = Scene::alone().await;
    let (meter, mallory, accomplice) = (Meter::of(&scene), scene.cheat(4_096).await, scene.cheat(0).await);
    let coin = scene.coin(&mallory, 4_096, Suite::Sha256).await;
    for claims in packed((1..=4_096).map(|i| scene.claim(&mallory, &coin, (i, i + 1), accomplice.id()))) {
        lines(&accomplice, claims).await;
    }
    let view = scene.ecoin(coin.touchstone.content.ecoin).await.expect("it was sold");
    assert_eq!((view.paid.0, view.runs.len()), (4_096, 4_096));
    let most = (Duration::from_secs(2), 96);
    let across = |payee: &RawPeer| times(scene.claim(&mallory, &coin, (1, 4_097), payee.id()), LONGEST);
    let again = across(&accomplice);
    let found = meter.bounds("2^20 words paid before", most, lines(&accomplice, again)).await;
    assert!(found.iter().all(|line| (line.verdict, line.already_paid.0) == (Verdict::AlreadyPaid, 4_096)));
    let puppet = scene.cheat(0).await;
    let twice = across(&puppet);
    let found = meter.bounds("2^20 words paid to another", most, lines(&puppet, twice)).await;
    assert!(found.iter().all(|line| (line.verdict, line.conflicting.0) == (Verdict::Conflicting, 4_096)));
    assert_eq!(scene.double_spends(mallory.id()).await.len(), 1);
    scene.ends_well().await;
}

/// Sends batches of these claims until the peer is told that it is out of budget, which was full: after two of the
/// costliest, and one more for each half minute that went by meanwhile.
async fn is_soon_busy(payee: &RawPeer, claims: &[Claim]) {
    let start = Instant::now();
    for sent in 0..16 {
        match payee.redeem(&payee.batch(claims.to_vec())).await {
            Ok(statement) => assert!(statement.lines.iter().all(|line| line.credited.0 == 0), "{statement:?}"),
            Err(busy) => {
                let busy = problem::<()>(Err(busy));
                assert_eq!((busy.kind, busy.kind.code()), (Kind::Busy, 429));
                assert!(sent <= 3 + start.elapsed().as_secs() / 15, "{sent} batches in {:?}", start.elapsed());
                return;
            }
        }
    }
    panic!("16 batches for nothing in {:?}, and no end of it", start.elapsed());
}

#[tokio::test]
async fn claims_that_credit_nothing_are_charged_for_their_hashes_and_for_their_signatures() {
    let scene = Scene::alone().await;
    let (alice, bob, carol) = (scene.honest(5_000).await, scene.honest(0).await, scene.honest(0).await);
    let coin = scene.coin(&alice, 4_096, Suite::Sha256).await;
    // 2^20 steps and 256 signatures each.
    let paid = scene.claim(&alice, &coin, (1, 4_097), bob.id());
    lines(&bob, vec![paid.clone()]).await;
    is_soon_busy(&bob, &times(paid, LONGEST)).await;
    // What is owed is not forgotten with the next second: the good is told to wait, too.
    let second = scene.coin(&alice, 1, Suite::Sha256).await;
    let good = bob.batch(vec![scene.claim(&alice, &second, (1, 2), bob.id())]);
    assert_eq!(problem(bob.redeem(&good).await).kind, Kind::Busy);
    // 2,048 steps and as many signatures each.
    let third = scene.coin(&alice, 1, Suite::Sha256).await;
    let hers = scene.claim(&alice, &third, (1, 2), carol.id());
    lines(&carol, vec![hers.clone()]).await;
    is_soon_busy(&carol, &times(hers, CLAIMS)).await;
    // Somebody else does not notice.
    let dave = scene.honest(0).await;
    let fourth = scene.coin(&alice, 1, Suite::Sha256).await;
    assert_eq!(lines(&dave, vec![scene.claim(&alice, &fourth, (1, 2), dave.id())]).await[0].credited.0, 1);
    scene.ends_well().await;
}

#[tokio::test]
async fn the_honest_are_served_while_one_peer_floods_the_broker_over_many_connections() {
    const ASKED: u32 = 20;
    let scene = Scene::alone().await;
    let (alice, dave, mallory) = (scene.honest(200).await, scene.honest(0).await, scene.honest(4_096).await);
    let (hers, flood) = (scene.coin(&alice, 200, Suite::Sha256).await, scene.cheat(0).await);
    let long = scene.coin(&mallory, 4_096, Suite::Sha256).await;
    let paid = scene.claim(&mallory, &long, (1, 4_097), flood.id());
    lines(&flood, vec![paid.clone()]).await;
    let latency = |from: u32| {
        let (scene, alice, dave, hers) = (&scene, &alice, &dave, &hers);
        async move {
            let mut taken = Vec::new();
            for i in from..from + ASKED {
                let claim = scene.claim(alice, hers, (i, i + 1), dave.id());
                let start = Instant::now();
                let credited = lines(dave, vec![claim]).await[0].credited.0;
                assert_eq!(credited, 1);
                taken.push(start.elapsed());
            }
            taken.sort();
            taken
        }
    };
    let quiet = latency(1).await;
    let bytes = |_| wire::encode(&flood.batch(times(paid.clone(), LONGEST)));
    let messages: Vec<_> = (0..4).map(bytes).collect();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut senders = Vec::new();
    for message in messages {
        let flood = flood.once_more(&scene.town.world.nats_url()).await.expect("NATS is there");
        let stopped = stopped.clone();
        senders.push(async move {
            let (mut looked_at, mut busy) = (0_u32, 0_u32);
            while !*stopped.borrow() {
                match flood.ask(BrokerOp::Redeem, message.clone()).await {
                    Ok(_) => looked_at += 1,
                    refused => {
                        assert_eq!(problem(refused).kind, Kind::Busy);
                        busy += 1;
                    }
                }
            }
            (looked_at, busy)
        });
    }
    let honest = async {
        let loud = latency(1 + ASKED).await;
        stop.send(true).expect("somebody listens");
        loud
    };
    let (loud, flooded) = futures::future::join(honest, futures::future::join_all(senders)).await;
    let looked_at: u32 = flooded.iter().map(|(looked_at, _)| looked_at).sum();
    let busy: u32 = flooded.iter().map(|(_, busy)| busy).sum();
    let (median, worst) = (loud[loud.len() / 2], loud[loud.len() - 1]);
    println!("quiet: {:?}, flooded: median {median:?}, worst {worst:?}; {looked_at} looked at, {busy} busy", quiet[10]);
    assert!(busy > 0, "the flood was never told to wait");
    assert!(looked_at <= 12, "{looked_at} batches of 2^20 steps for nothing");
    assert!(worst < Duration::from_secs(5) && median < Duration::from_secs(1), "{loud:?}");
    scene.ends_well().await;
}
