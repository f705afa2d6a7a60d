//! kill -9 at any moment of a broker under load.

use std::sync::Arc;
use std::time::Duration;

use netpay_protocol::admin::Order;
use netpay_tests::campaign::{Campaign, Dice};
use netpay_tests::raw_peer::RawPeer;
use tokio::runtime::Runtime;

use crate::clients::Clients;
use crate::debts::AGO_MS;
use crate::load::{Load, WORKERS};
use crate::post::Post;
use crate::stage::Stage;

/// Peers, each of them payer and payee.
const PEERS: usize = 4;
/// Kills between two looks at the directory.
const LEG: u64 = 10;
/// Kills of one ledger. It is replayed at every look, so that a single one would make the long form longer every time.
const CHAPTER: u64 = 50;

/// What the campaign is for. Without one of these it has proven less than it says.
const KINDS: &[&str] = &[
    "kills under load",
    "kills while starting",
    "kills between a commit and its answers",
    "replies lost",
    "sent again",
    "acknowledged",
    "batches repeated",
    "checks",
    "AccountOpened",
    "FundsCredited",
    "EcoinsIssued",
    "BatchRedeemed",
    "DoubleSpendDetected",
    "AccountSuspended",
    "AccountReinstated",
    "PayoutRequested",
    "PayoutSettled",
    "PayoutFailed",
    "PayoutRequested, its reply lost",
    "DebtSettled",
    "DebtSettled, its reply lost",
    "debts settled whole",
    "PeerKeysRotated",
    "PeerKeysRotated, its reply lost",
    "verdict credited",
    "verdict already_paid",
    "verdict conflicting",
    "verdict invalid",
    "verdict unauthorised",
    "verdict unknown_ecoin",
    "rejected bad_signature",
    "rejected in_debt",
    "rejected not_found",
    "rejected suspended",
    "rejected insufficient_funds",
    "rejected policy",
    "rejected conflict",
    "rejected request_id_reused",
];

/// Peers of one broker after another: their sealing keys are costly to make.
pub async fn peers(nats_url: &str) -> Vec<RawPeer> {
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        peers.push(RawPeer::connect(nats_url, Default::default()).await.expect("NATS is there"));
    }
    peers
}

/// Waits for a random moment.
fn some_time(dice: &mut Dice, most_ms: u64) {
    std::thread::sleep(Duration::from_micros(dice.below(1_000 * most_ms)));
}

/// A life of long ago. What was left of it can be settled now.
fn earlier_life(stage: &mut Stage, clients: &mut Clients, runtime: &Runtime, dice: &mut Dice) {
    stage.serve();
    clients.behind_ms = AGO_MS;
    runtime.block_on(clients.old_debts(dice));
    stage.stop();
    clients.behind_ms = 0;
    stage.world.set_clock("+0");
}

/// The clock leapt, and nothing is settled before somebody says that it is right.
async fn confirm_clock(clients: &Clients) {
    let order = Order::ConfirmClock { reason: "it is that long ago".into() };
    let admin = clients.order(&order).await.expect("a clock in doubt");
    clients.ordered(&mut clients.held().books, &admin);
}

/// One ledger from its first record on. Gives the peers back.
fn chapter(
    campaign: &Campaign,
    stage: &mut Stage,
    mut clients: Clients,
    runtime: &Runtime,
    done: &mut u64,
) -> Vec<RawPeer> {
    let end = *done + CHAPTER;
    let tally = &campaign.tally;
    earlier_life(stage, &mut clients, runtime, &mut campaign.dice(u64::MAX - end));
    let clients = Arc::new(clients);
    stage.serve();
    runtime.block_on(confirm_clock(&clients));
    runtime.block_on(clients.fund());
    stage.stop();
    loop {
        let leg = *done;
        let load = Load::start(runtime, &clients, WORKERS, |worker| campaign.dice(leg << 16 | worker));
        let mut dice = campaign.dice(u64::MAX - leg);
        for _ in 0..LEG {
            if dice.below(3) == 0 {
                stage.serve_until_commit(dice.between(1, 40));
                tally.count("kills between a commit and its answers");
            } else {
                stage.serve();
                some_time(&mut dice, 400);
                stage.kill();
                tally.count("kills under load");
            }
            if dice.below(4) == 0 {
                let starting = stage.world.start("netpay-broker", &["serve", "--config", "broker"], "starting.log");
                some_time(&mut dice, 150);
                starting.kill();
                tally.count("kills while starting");
            }
            *done += 1;
        }
        stage.serve();
        load.finish(runtime);
        if dice.below(2) == 0 {
            stage.kill()
        } else {
            stage.stop()
        }
        let read = stage.check(&clients, tally);
        if *done >= end || !campaign.goes_on(*done) {
            read.count(&clients.post);
            break;
        }
    }
    Arc::into_inner(clients).expect("the workers have finished").peers
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_when_the_broker_is_killed_at_any_moment() {
    let campaign = Campaign::start("crash", "kills under load", 50, 10_000);
    let runtime = Runtime::new().expect("threads");
    let mut stage = Stage::default();
    let mut held = runtime.block_on(peers(&stage.world.nats_url()));
    let mut done = 0;
    while campaign.goes_on(done) {
        stage.world.set_clock(&format!("-{}", AGO_MS / 1_000));
        let broker = stage.new_broker();
        held.iter_mut().for_each(|peer| peer.broker = broker);
        let post = Post::new(Arc::clone(&campaign.tally), stage.life());
        let clients = Clients::new(&stage.world, post, held);
        held = chapter(&campaign, &mut stage, clients, &runtime, &mut done);
    }
    campaign.end(KINDS);
}
