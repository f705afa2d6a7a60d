//! Every word paid once, to whom it was granted; and every double spend on record, with its evidence.

use netpay_ledger::command::Request;
use netpay_ledger::event::{Cause, DoubleSpend, Event, RedeemedClaim, SettledClaim};
use netpay_ledger::record::Record;
use netpay_protocol::admin::Order;
use netpay_protocol::amounts::{PaywordIndex, Units, WordCount};
use netpay_protocol::ids::{Digest, RequestId};
use netpay_protocol::keys::Signature;
use netpay_protocol::layout::Signed;
use netpay_protocol::redemption::{Claim, Verdict};
use netpay_protocol::runs::Run;
use netpay_protocol::suite::Payword;

use crate::world::*;

fn run(from: u32, through: u32) -> Run {
    Run::new(PaywordIndex(from), PaywordIndex(through)).expect("not empty")
}

#[test]
fn a_claim_that_its_payer_did_not_grant_is_found() {
    found(at::BOBS_BATCH, |record| settled(record, 1).grant.signature = Signature([7; 64]), "not granted by its payer");
    found(at::BOBS_BATCH, |record| settled(record, 1).grant.order = Digest([1; 32]), "not granted by its payer");
    found(at::CAROLS_BATCH, |record| settled(record, 1).grant.to.0 += 1, "not granted by its payer");
    found(at::BOBS_BATCH, |record| settled(record, 0).ecoin = ecoin("B"), "not granted by its payer");
}

#[test]
fn a_word_that_is_not_on_the_chain_is_found() {
    let other = |record: &mut Record| settled(record, 0).word = Payword::unchecked([9; 32]);
    found(at::BOBS_BATCH, other, "a word that is not on its chain");
    // A true word of the chain, of another place.
    let lower = |record: &mut Record| settled(record, 1).word = settled(record, 0).word;
    found(at::BOBS_BATCH, lower, "a word that is not on its chain");
}

#[test]
fn a_claim_beyond_its_grant_or_its_chain_is_found() {
    found(at::BOBS_BATCH, |record| settled(record, 1).through = PaywordIndex(7), "not within its grant");
    found(at::BOBS_BATCH, |record| settled(record, 0).grant.from = PaywordIndex(0), "not within its grant");
    found(at::CAROLS_BATCH, |record| settled(record, 0).grant.to = PaywordIndex(12), "not within its grant");
}

/// Changes what the nth claim of bob's batch says was credited.
fn counts(nth: usize, change: impl Fn(&mut SettledClaim)) {
    let position = at::BOBS_BATCH;
    found(position, |record| change(settled(record, nth)), "does not credit exactly the words that were not paid");
}

#[test]
fn a_claim_credits_exactly_what_was_not_paid_before_also_by_the_same_batch() {
    counts(0, |claim| claim.credited_units.0 += 1);
    counts(0, |claim| claim.credited = vec![run(1, 2)]);
    counts(0, |claim| claim.credited = vec![run(1, 4)]);
    counts(0, |claim| claim.credited = vec![run(1, 1), run(2, 3)]);
    counts(1, |claim| claim.already_paid = WordCount(2));
    counts(1, |claim| claim.conflicting = WordCount(1));
    // The words that the first claim of the batch was paid, paid again.
    counts(1, |claim| {
        (claim.credited, claim.credited_units, claim.already_paid) = (vec![run(1, 6)], Units(18), WordCount(0));
    });
    // The words that bob was paid, paid to carol too.
    let again = |record: &mut Record| {
        let claim = settled(record, 0);
        (claim.credited, claim.credited_units, claim.conflicting) = (vec![run(5, 9)], Units(15), WordCount(0));
        record.events.truncate(1 + 1);
    };
    found(at::CAROLS_BATCH, again, "does not credit exactly");
}

fn batch_in(record: &mut Record) -> &mut Vec<RedeemedClaim> {
    let batch = record.events.iter_mut().find_map(|event| match event {
        Event::BatchRedeemed { claims, .. } => Some(claims),
        _ => None,
    });
    batch.expect("a batch")
}

#[test]
fn a_batch_is_its_payees_and_is_recorded_for_something() {
    let to_another = |record: &mut Record| {
        record.events.remove(0);
        let Event::BatchRedeemed { payee, .. } = &mut record.events[0] else { panic!() };
        *payee = peer("alice");
    };
    found(at::BOBS_BATCH, to_another, "that its payee did not ask for");
    found(at::BOBS_BATCH, |record| record.request = None, "that its payee did not ask for");
    found(at::BOBS_BATCH, |record| batch_in(record).clear(), "has no claims");
    let nothing = |record: &mut Record| *batch_in(record) = vec![RedeemedClaim::Refused(Verdict::Invalid)];
    found(at::BOBS_BATCH, nothing, "credits nothing and shows nothing new");
    let settles = |record: &mut Record| batch_in(record)[1] = RedeemedClaim::Refused(Verdict::AlreadyPaid);
    found(at::BOBS_BATCH, settles, "refused with a verdict that settles");
}

/// A record of a batch with one claim that credits its whole run.
fn batch_of(name: &'static str, claim: Claim, unit: u64) -> impl Fn(&mut Record) {
    move |record| {
        let run = run(claim.index.content.from.0, claim.through.0);
        let settled = SettledClaim {
            ecoin: claim.ecoin(),
            grant: claim.grant(),
            through: claim.through,
            word: claim.word,
            credited: vec![run],
            credited_units: Units(u64::from(run.words().0) * unit),
            already_paid: WordCount(0),
            conflicting: WordCount(0),
        };
        record.request = Some(Request { signer: peer(name), id: RequestId([5; 16]), digest: Digest([5; 32]) });
        record.events =
            vec![Event::BatchRedeemed { payee: peer(name), claims: vec![RedeemedClaim::Settled(Box::new(settled))] }];
    }
}

#[test]
fn payers_do_not_redeem_and_what_was_refunded_is_not_paid() {
    let world = story();
    let own = world.claim("B", (3, 5, 4), "alice");
    found(at::SUSPENSION, batch_of("alice", own, 3), "by a payee to whom it cannot be paid");
    let late = world.claim("D", (1, 5, 4), "bob");
    found(at::DEBT, batch_of("bob", late.clone(), 1), "is settled, but it was refunded before");
    // The same claim in time is fine, until the refund gives back what it took.
    let in_time = lie(&world.log(), at::EXPIRY, |record| {
        record.recorded_at_ms -= 1;
        batch_of("bob", late, 1)(record);
    });
    assert_eq!(audit(&in_time[..at::EXPIRY]).map(|audited| audited.figures().claims).ok(), Some(5));
    let unsold = |record: &mut Record| settled(record, 0).ecoin = ecoin("Z");
    found(at::BOBS_BATCH, unsold, "it was never sold");
}

/// The double spend of carol's batch.
fn evidence(change: impl Fn(&mut DoubleSpend), said: &str) {
    let changed = |record: &mut Record| {
        let found = record.events.iter_mut().find_map(|event| match event {
            Event::DoubleSpendDetected(found) => Some(found),
            _ => None,
        });
        change(found.expect("a double spend"));
    };
    found(at::CAROLS_BATCH, changed, said);
}

#[test]
fn evidence_that_proves_nothing_is_found() {
    let world = story();
    let bobs = world.claim("A", (1, 7, 3), "bob").grant();
    let overlapping_none = world.claim("A", (1, 5, 4), "bob").grant();
    let never_claimed = world.claim("A", (6, 8, 7), "carol").grant();
    evidence(|found| found.paid_grant = overlapping_none.clone(), "under which nothing was paid");
    evidence(|found| found.paid_to = peer("dave"), "who was not paid first");
    evidence(|found| found.paid_to = peer("carol"), "who was not paid first");
    evidence(|found| found.payee = peer("dave"), "another payee than the batch's");
    evidence(|found| found.grant = bobs.clone(), "did not claim by");
    evidence(|found| found.grant = never_claimed.clone(), "did not claim by");
    evidence(|found| found.conflicting = WordCount(3), "other words than were lost");
    evidence(|found| found.debt = Units(7), "another worth than was lost");
    evidence(
        |found| found.touchstone = Signed::new(found.touchstone.content.clone(), &key("mallory")),
        "another touchstone than was sold",
    );
}

#[test]
fn a_double_spend_is_recorded_and_its_payer_suspended_and_no_other_is() {
    let hidden = |record: &mut Record| {
        record.events.retain(|event| matches!(event, Event::BatchRedeemed { .. } | Event::AccountOpened { .. }))
    };
    found(at::CAROLS_BATCH, hidden, "of which no double spend is recorded");
    let at_large = |record: &mut Record| drop(record.events.pop());
    found(at::CAROLS_BATCH, at_large, "a double spender is not suspended");
    let log = story().log();
    let framed = |record: &mut Record| {
        let events = read(&log, at::CAROLS_BATCH).events;
        record.events.extend(events.into_iter().filter(|event| matches!(event, Event::DoubleSpendDetected(_))));
    };
    found(at::BOBS_BATCH, framed, "a double spend that is none");
    let twice = |record: &mut Record| {
        let found = record.events.iter().find(|event| matches!(event, Event::DoubleSpendDetected(_))).cloned();
        record.events.extend(found);
    };
    found(at::CAROLS_BATCH, twice, "a double spend that is none");
    let another = |record: &mut Record| {
        let Some(Event::AccountSuspended { peer: who, .. }) = record.events.last_mut() else { panic!() };
        *who = peer("bob");
    };
    found(at::CAROLS_BATCH, another, "no command leads to");
    let for_another = |record: &mut Record| {
        let Some(Event::AccountSuspended { cause, .. }) = record.events.last_mut() else { panic!() };
        *cause = Cause::DoubleSpend(ecoin("B"));
    };
    found(at::CAROLS_BATCH, for_another, "no command leads to");
}

#[test]
fn who_is_in_debt_is_not_reinstated() {
    let mut world = story();
    let order = Box::new(world.admin(&Order::Reinstate { peer: peer("alice"), reason: String::new() }));
    let reinstated = |record: &mut Record| {
        let mut order = order.clone();
        order.content.valid_until_ms = START_MS + 60_000;
        *order = Signed::new(order.content, &key("operator"));
        record.request = Some(request_of(&order));
        record.events = vec![Event::AccountReinstated { peer: peer("alice"), order }];
    };
    found(at::REINSTATEMENT, reinstated, "an account in debt is reinstated");
}
