//! Commands as bytes on their way to another node: every one comes through whole, and the largest fits a message.

mod world;

use std::collections::BTreeSet;

use netpay_ledger::command::{MAX_EXPIRED, OpenAccount, Request, Rotation};
use netpay_ledger::verify::{self, CheckedClaim};
use netpay_ledger::{Action, Command};
use netpay_protocol::admin::Order;
use netpay_protocol::amounts::{PaywordIndex, Units};
use netpay_protocol::ids::{Kid, RequestId};
use netpay_protocol::key_list::{KeyList, ListedKey, Purpose, SignedKeyList};
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::{
    MAX_CHAINS_PER_PURCHASE, MAX_CLAIMS_PER_BATCH, MAX_KEYS, MAX_MESSAGE_BYTES, MAX_REASON_BYTES, MAX_REFERENCE_BYTES,
    MAX_SEALING_KEY_BYTES, MAX_STEPS_PER_BATCH, MAX_TOUCHSTONES_PER_BATCH,
};
use netpay_protocol::payout::PayoutKey;
use netpay_protocol::redemption::Verdict;
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::wire::NotAMessage;
use world::{BROKER, START_MS, Terms, World, ecoin, key, peer};

fn key_list(keys: u32) -> Box<SignedKeyList> {
    let public = key("touchstones").public();
    let (not_before_ms, not_after_ms, revoked_at_ms) = (u64::MAX - 1, u64::MAX, u64::MAX);
    let kid = Kid::of(&public);
    let listed =
        ListedKey { kid, key: public, purpose: Purpose::Touchstone, not_before_ms, not_after_ms, revoked_at_ms };
    let keys = (0..keys).map(|_| listed).collect();
    let list =
        KeyList { broker: BROKER, incarnation: 1, seq: 2, issued_at_ms: START_MS, next_at_ms: START_MS + 1, keys };
    Box::new(SignedKeyList { root: key("root").public(), list: Signed::new(list, &key("root")) })
}

fn rotation(world: &mut World) -> Action {
    let register = world.opening("alice").register().content.clone();
    let register = Signed::new(Register { signing_key: key("new").public(), ..register }, &key("new"));
    let order = RotateKeys {
        broker: BROKER,
        peer: peer("alice"),
        request: world.fresh(),
        valid_until_ms: START_MS,
        register: register.content.digest(),
    };
    let rotation = Rotation::check(Signed::new(order, &key("alice")), register, key("alice").public());
    Action::RotatePeerKeys(Box::new(rotation.expect("good keys")))
}

fn operators(world: &mut World) -> Vec<Action> {
    let payout = PayoutKey { peer: peer("alice"), request: RequestId([3; 16]) };
    let (peer, debtor) = (peer("alice"), peer("alice"));
    let orders = [
        Order::Credit { peer, amount: Units(u64::MAX), reference: "bank 4711".into() },
        Order::Suspend { peer, reason: "why".into() },
        Order::Reinstate { peer, reason: "why".into() },
        Order::SettleDebt { debtor, creditor: world::peer("bob"), ecoin: ecoin("A") },
        Order::SettlePayout { payout, reference: "bank 4712".into() },
        Order::FailPayout { payout, reason: "no such account".into() },
        Order::Reconcile { reason: "done".into() },
        Order::ConfirmClock { reason: "looked".into() },
    ];
    orders.iter().map(|order| world.operator(order).action).collect()
}

/// Two e-coins, a claim of each outcome of the check, and a command of every action.
fn every_action() -> Vec<Action> {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    let touchstone = world.coin("A").touchstone.clone();
    let mut bad = world.claim("A", (2, 5, 4), "bob");
    bad.through = PaywordIndex(3);
    let claims = vec![world.claim("A", (2, 5, 4), "bob"), bad];
    let batch = world.batch("bob", claims);
    let redemption = world.redemption("bob", &batch);
    let Action::RedeemBatch { claims, .. } = &redemption.action else { panic!("a batch") };
    assert!(matches!(claims[..], [CheckedClaim::Proven(_), CheckedClaim::Refused { verdict: Verdict::Invalid, .. }]));
    let mut actions = vec![
        world.purchase("alice", &["B", "C"], 10, Terms::default()).action,
        redemption.action,
        world.payout("bob", 4).action,
        Action::ExpireEcoins { ecoins: vec![ecoin("A"), ecoin("B")] },
        Action::RestoreEcoins { ecoins: vec![(touchstone, 7)] },
        rotation(&mut world),
        Action::RotateBrokerKeys { list: key_list(1) },
        Action::DoubtClock,
    ];
    actions.extend(operators(&mut world));
    actions
}

/// The numbers of the actions that the reader knows, and of those among these.
fn known_and_tried(actions: &[Action]) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let is_known = |number: &u64| {
        let bytes = minicbor::to_vec((number, [0_u8; 0])).expect("in memory");
        !minicbor::decode::<Action>(&bytes).is_err_and(|error| error.is_unknown_variant())
    };
    let number = |action: &Action| {
        let bytes = minicbor::to_vec(action).expect("in memory");
        let mut decoder = minicbor::Decoder::new(&bytes);
        decoder.array().and_then(|_| decoder.u64()).expect("a number first")
    };
    ((0..1_000).filter(is_known).collect(), actions.iter().map(number).collect())
}

#[test]
fn every_command_is_read_back_as_it_was_and_has_one_form() {
    let actions = every_action();
    let (known, tried) = known_and_tried(&actions);
    assert_eq!(known, tried, "an action without a sample here");
    let request =
        Request { signer: peer("alice"), id: RequestId([5; 16]), digest: netpay_protocol::ids::Digest([6; 32]) };
    for action in actions {
        for request in [None, Some(request)] {
            let command = Command { request, action: action.clone() };
            let bytes = command.to_bytes();
            let again = Command::from_bytes(&bytes).expect("as it was written");
            assert_eq!(format!("{again:?}"), format!("{command:?}"));
            assert_eq!(again.to_bytes(), bytes);
            let longer = [&bytes[..], &[0]].concat();
            assert_eq!(Command::from_bytes(&longer).map(|_| ()), Err(NotAMessage::Trailing));
            assert!(Command::from_bytes(&bytes[..bytes.len() - 1]).is_err(), "{command:?}");
        }
    }
}

#[test]
fn a_command_of_another_version_is_not_read() {
    let mut bytes = Command { request: None, action: Action::DoubtClock }.to_bytes();
    assert!(Command::from_bytes(&bytes).is_ok());
    bytes[0] += 1;
    assert!(matches!(Command::from_bytes(&bytes), Err(NotAMessage::Shape(_))));
    assert!(Command::from_bytes(&[]).is_err());
}

#[test]
fn a_command_that_travelled_is_decided_like_the_one_that_stayed() {
    let mut world = World::new();
    world.bought("alice", "A", 10);
    let batch = world.batch("bob", vec![world.claim("A", (2, 5, 4), "bob")]);
    let command = world.redemption("bob", &batch);
    let travelled = Command::from_bytes(&command.to_bytes()).expect("as it was written");
    assert_eq!(world::show(&world::lines(world.execute(travelled).expect("good"))), [("credited", 3, 0, 0)]);
    let again = world.execute(command).expect("the same request");
    assert!(matches!(again, netpay_ledger::memory::Outcome::Repeated(_)), "{again:?}");
}

/// An opening with the longest sealing key that a registration can have, which no RSA key has.
fn long_opening(world: &World) -> OpenAccount {
    let opening = world.opening("bob");
    let mut bytes = minicbor::to_vec(&opening).expect("in memory");
    let content = Register {
        sealing_key: vec![0xff; usize::try_from(MAX_SEALING_KEY_BYTES).expect("small")],
        ..opening.register().content.clone()
    };
    let long = minicbor::to_vec(Signed::new(content, &key("bob"))).expect("in memory");
    let short = minicbor::to_vec(opening.register()).expect("in memory");
    let at = bytes.windows(short.len()).position(|window| window == short).expect("it is in there");
    bytes.splice(at..at + short.len(), long);
    minicbor::decode(&bytes).expect("an opening")
}

/// The largest command of each kind that peers and operators can bring about.
fn largest() -> Vec<(&'static str, Action)> {
    let mut world = World::new();
    world.bought("alice", "A", 4_096);
    let opening = Some(long_opening(&world));
    let claims = usize::try_from(MAX_CLAIMS_PER_BATCH).expect("small");
    let through = u32::try_from(MAX_STEPS_PER_BATCH).expect("small") / MAX_CLAIMS_PER_BATCH;
    let claim = world.claim("A", (300, 4_097, through), "bob");
    let proven = verify::check(claim, peer("bob"), Some(&world.coin("A").touchstone.content));
    assert!(matches!(proven, CheckedClaim::Proven(_)));
    let signed_by = key("bob").public();
    let redeem =
        Action::RedeemBatch { opening: opening.clone(), payee: peer("bob"), signed_by, claims: vec![proven; claims] };

    let chains = usize::try_from(MAX_CHAINS_PER_PURCHASE).expect("small");
    let bought = world.purchase("alice", &["B"], 4_096, Terms { unit_value: u32::MAX, ..Terms::default() });
    let Action::BuyEcoins { order, touchstones, .. } = bought.action else { panic!("a purchase") };
    let touchstones: Vec<_> = touchstones.into_iter().cycle().take(chains).collect();
    let brought = usize::try_from(MAX_TOUCHSTONES_PER_BATCH).expect("small");
    let restore = touchstones.iter().cycle().take(brought).map(|touchstone| (touchstone.clone(), u32::MAX)).collect();
    let buy = Action::BuyEcoins { opening, order, signed_by, touchstones, epoch: u32::MAX };

    let (text, reference) = ("x".repeat(MAX_REASON_BYTES), "x".repeat(MAX_REFERENCE_BYTES));
    let payout = PayoutKey { peer: peer("alice"), request: RequestId([0xff; 16]) };
    let fail = world.operator(&Order::FailPayout { payout, reason: text }).action;
    let credit = world.operator(&Order::Credit { peer: peer("alice"), amount: Units(u64::MAX), reference }).action;
    vec![
        ("redeem", redeem),
        ("buy", buy),
        ("restore e-coins", Action::RestoreEcoins { ecoins: restore }),
        ("rotate the broker's keys", Action::RotateBrokerKeys { list: key_list(MAX_KEYS) }),
        ("expire", Action::ExpireEcoins { ecoins: vec![ecoin("A"); MAX_EXPIRED] }),
        ("rotate a peer's keys", rotation(&mut world)),
        ("fail a payout", fail),
        ("credit", credit),
    ]
}

#[test]
fn the_largest_command_of_each_kind_fits_a_message() {
    let digest = netpay_protocol::ids::Digest([0xff; 32]);
    let request = Some(Request { signer: peer("bob"), id: RequestId([0xff; 16]), digest });
    for (name, action) in largest() {
        let bytes = Command { request, action }.to_bytes();
        println!("{name}: {} bytes", bytes.len());
        assert!(bytes.len() <= MAX_MESSAGE_BYTES, "{name}: {} bytes", bytes.len());
        Command::from_bytes(&bytes).expect("as it was written");
    }
}
