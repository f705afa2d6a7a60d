//! A peer's statement against the log: the same history, or where they part.

use netpay_broker::audit::statement::Watch;
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{Digest, Kid};
use netpay_protocol::layout::Signed;
use netpay_protocol::redemption::{RedemptionBatch, Statement};

use crate::world::*;

/// What the log says to a statement.
fn said(log: &[Vec<u8>], statement: Statement) -> Result<(), String> {
    let watch = Watch::over(Signed::new(statement, &key("statement")), &trust()).expect("the broker's");
    audit_with(log, |audit| audit.watch(watch)).expect("an honest log").statement().expect("a statement was given")
}

/// A batch of bob's, and what he was told.
fn told() -> (World, RedemptionBatch, Statement) {
    let mut world = World::new();
    world.credit("alice", 100);
    world.buy("alice", &["A"], 10, 3);
    let claims = vec![world.claim("A", (1, 7, 3), "bob")];
    let batch = world.redeem("bob", claims);
    let statement = world.statement("bob", &batch);
    world.credit("alice", 1);
    (world, batch, statement)
}

#[test]
fn a_true_statement_fits_the_log_also_when_it_was_given_again_later() {
    let (mut world, batch, statement) = told();
    assert_eq!(said(&world.log(), statement), Ok(()));
    world.payout("bob", 2);
    assert_eq!(said(&world.log(), world.statement("bob", &batch)), Ok(()));
}

#[test]
fn a_log_that_lost_its_end_or_was_rewritten_is_found() {
    let (world, _, statement) = told();
    let shorter = world.log()[..2].to_vec();
    assert!(said(&shorter, statement.clone()).expect_err("shorter").contains("ends at position 2"));
    let rewritten = lie(&world.log(), 3, |record| record.recorded_at_ms += 1);
    let what = said(&rewritten[..3], statement).expect_err("rewritten");
    assert!(what.contains("another history: position 3"), "{what}");
}

#[test]
fn an_outcome_that_is_not_in_the_log_is_found() {
    let (world, _, statement) = told();
    let log = world.log();
    let other_batch = Statement { batch: Digest([3; 32]), ..statement.clone() };
    assert!(said(&log, other_batch).expect_err("another batch").contains("another outcome"));
    let mut more = statement.clone();
    more.lines[0].credited.0 += 1;
    assert!(said(&log, more).expect_err("another line").contains("another outcome"));
    let richer = Statement { balance_units: Units(10), ..statement.clone() };
    assert!(said(&log, richer).expect_err("another balance").contains("the balance at position 3 is 9"));
    let mut unknown = statement.clone();
    unknown.request.0[0] ^= 1;
    assert!(said(&log, unknown).expect_err("no outcome").contains("holds no outcome"));
    let mut nothing = statement;
    nothing.request.0[0] ^= 1;
    nothing.lines[0].credited.0 = 0;
    assert_eq!(said(&log, nothing), Ok(()), "a batch that credits nothing is not recorded");
}

#[test]
fn a_statement_that_the_broker_did_not_sign_is_refused() {
    let (_, _, statement) = told();
    let refused = |statement: Statement, name: &str| {
        Watch::over(Signed::new(statement, &key(name)), &trust()).err().map(|error| error.to_string())
    };
    assert_eq!(refused(statement.clone(), "statement"), None);
    assert!(refused(statement.clone(), "mallory").is_some_and(|why| why.contains("does not verify")));
    let by_touchstone_key = Statement { kid: Kid::of(&key("touchstone").public()), ..statement.clone() };
    assert!(refused(by_touchstone_key, "touchstone").is_some_and(|why| why.contains("was not the broker's")));
    let mut revoked = trust();
    revoked.keys = with_revoked_statement_key();
    let signed = Signed::new(statement.clone(), &key("statement"));
    assert!(Watch::over(signed, &revoked).is_err(), "who has the key can date what it signs as it likes");
    let too_early = Statement { issued_at_ms: START_MS - 1, ..statement };
    assert!(refused(too_early, "statement").is_some_and(|why| why.contains("was not the broker's")));
}
