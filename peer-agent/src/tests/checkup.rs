//! What the doctor finds, at the limit and one beyond.

use netpay_protocol::admin::AccountView;
use netpay_protocol::amounts::Units;
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::redemption::Head;
use netpay_protocol::suite::Suite;

use crate::checkup::{self, Finding, exit_code};
use crate::content::tree::Tree;
use crate::home::identity::new_request;
use crate::ports::{Coins as _, Ecoin, Share};
use crate::tests::broker::{NOW, TestBroker};
use crate::tests::trade::{Peer, chain_of, wait};
use crate::till::policy::Policy;
use crate::till::redeeming::{self, Redeemer, Which};
use crate::till::schedule::DEADLINE_MARGIN_MS;
use crate::wallet::buying;
use crate::wallet::paying_out::{self, Wish};
use crate::wallet::purse::Mode::PerPayment;

fn scene() -> (TestBroker, Peer, Peer) {
    (TestBroker::new(), Peer::new(1), Peer::new(2))
}

fn wrong(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().filter(|finding| finding.code != 0).map(|finding| finding.check).collect()
}

#[test]
fn every_finding_that_is_wrong_says_what_to_do_next() {
    let view = |debt, suspended_at_ms| AccountView {
        peer: Peer::new(1).id(),
        balance: Units(1),
        debt: Units(debt),
        opened_at_ms: None,
        suspended_at_ms,
        last_redeem_until_ms: 0,
        head: Head::default(),
    };
    let minutes = 5 * 60_000;
    for (finding, code) in [
        (checkup::account(&view(0, None)), 0),
        (checkup::account(&view(1, None)), 8),
        (checkup::account(&view(0, Some(5))), 8),
        (checkup::clock(NOW + minutes, NOW), 0),
        (checkup::clock(NOW - minutes, NOW), 0),
        (checkup::clock(NOW + minutes + 1, NOW), 1),
        (checkup::clock(NOW - minutes - 1, NOW), 1),
    ] {
        assert_eq!(finding.code, code, "{finding:?}");
        assert_eq!(finding.advice.is_some(), code != 0, "{finding:?}");
    }
}

#[test]
fn the_most_telling_code_is_the_one_it_ends_with() {
    let of = |codes: &[u8]| exit_code(&codes.iter().map(|c| Finding::bad("x", *c, "", "")).collect::<Vec<_>>());
    for (codes, code) in [(&[][..], 0), (&[0, 0], 0), (&[1], 1), (&[1, 6], 6), (&[6, 8, 1], 8), (&[7, 6], 7), (&[2], 1)]
    {
        assert_eq!(of(codes), code, "{codes:?}");
    }
}

#[test]
fn claims_are_wrong_when_half_the_window_is_left() {
    let (broker, alice, bob) = scene();
    alice.buy(&broker, chain_of(20, Suite::Sha256));
    let at = |now_ms| bob.store.read(|tx| checkup::claims(tx, now_ms)).expect("read").code;
    assert_eq!(at(NOW + 30 * DAY_MS), 0, "nothing is held");
    alice.pay(&broker, &bob, 5, PerPayment);
    let limit = NOW + 20 * DAY_MS - DEADLINE_MARGIN_MS;
    assert_eq!([at(limit - 1), at(limit), at(NOW + 30 * DAY_MS)], [0, 1, 1]);
}

#[test]
fn ecoins_near_their_end_are_wrong_and_locked_ones_are_told() {
    let (broker, alice, _) = scene();
    let t = alice.buy(&broker, chain_of(20, Suite::Sha256))[0].clone();
    let at = |now_ms| alice.store.read(|tx| checkup::ecoins(tx, now_ms)).expect("read");
    let limit = t.spend_until_ms - 3 * DAY_MS;
    assert_eq!(wrong(&at(limit - 1)), [""; 0]);
    assert_eq!(wrong(&at(limit)), ["ecoins"]);
    assert_eq!(wrong(&at(t.spend_until_ms)), [""; 0], "too late to do anything");
    let mut other = t.clone();
    other.ecoin = netpay_protocol::ids::EcoinId([9; 16]);
    let last = broker.chain(&t).word(t.n).expect("its last");
    let locked = Ecoin { touchstone: broker.sign(other), last, locked: true };
    alice.store.write(|tx| tx.add_ecoin(&locked, new_request())).expect("kept");
    let found = at(NOW);
    assert!(found[1].found.starts_with("1 are locked"), "{found:?}");
}

#[test]
fn what_is_without_an_answer_for_more_than_two_minutes_is_wrong() {
    let (broker, alice, bob) = scene();
    alice.buy(&broker, chain_of(20, Suite::Sha256));
    alice.pay(&broker, &bob, 5, PerPayment);
    let at = |now_ms| bob.store.read(|tx| checkup::unanswered(tx, now_ms)).expect("read");
    assert_eq!(wrong(&at(NOW + DAY_MS)), [""; 0]);
    let who = Redeemer { me: &bob.me, broker: broker.id() };
    let wish = Wish { amount: Units(1), destination: "x".into() };
    let kept: Result<(), crate::ports::StoreError> = bob.store.write(|tx| {
        buying::order(tx, &bob.me, broker.id(), new_request(), chain_of(5, Suite::Md5), NOW)?;
        paying_out::order(tx, &bob.me, broker.id(), new_request(), &wish, NOW)?;
        redeeming::batch(tx, &who, new_request(), Which::Unsettled, 0, NOW)?;
        Ok(())
    });
    kept.expect("kept");
    assert_eq!(wrong(&at(NOW + 120_000)), [""; 0], "a command may be under way");
    assert_eq!(wrong(&at(NOW + 120_001)), ["purchases", "payouts", "batches"]);
}

#[test]
fn lists_are_wrong_as_soon_as_payments_are_not_taken_with_them() {
    let (broker, _, bob) = scene();
    let policy = Policy::default();
    let at = |now_ms| bob.store.read(|tx| checkup::lists(tx, broker.id(), &policy, now_ms)).expect("read").code;
    assert_eq!(at(NOW), 1, "there are none");
    assert_eq!(bob.store.read(|tx| checkup::registration(tx)).expect("read").code, 1);
    wait(bob.errands(&broker).refresh_lists()).expect("lists");
    assert_eq!([at(NOW), at(NOW + DAY_MS), at(NOW + DAY_MS + 1)], [0, 0, 1]);
}

#[test]
fn a_file_that_is_gone_or_changed_is_found_also_when_its_size_is_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("song");
    std::fs::write(&path, b"la la la").expect("ours");
    let tree = Tree::of_file(&path).expect("read");
    let share = Share {
        content: tree.content(),
        path: path.clone(),
        name: "song".into(),
        size_bytes: 8,
        price: Units(1),
        tags: String::new(),
        tree: Vec::new(),
    };
    let code = || checkup::shares(std::slice::from_ref(&share)).code;
    assert_eq!(code(), 0);
    std::fs::write(&path, b"la la li").expect("ours");
    assert_eq!(code(), 1);
    std::fs::remove_file(&path).expect("ours");
    assert_eq!(code(), 1);
}
