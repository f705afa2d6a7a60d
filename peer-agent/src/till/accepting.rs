//! Accepting a payment (DESIGN §3.6), check by check in that order, hashing last.
//!
//! What is accepted of an e-coin is the union of its claims' runs, kept until long after it was redeemed: a word is
//! worth something once, to this payee, whatever grants it comes under. The broker is never asked.

use netpay_protocol::amounts::{PaywordIndex, Units, WordCount};
use netpay_protocol::chain;
use netpay_protocol::ids::{BrokerId, PeerId};
use netpay_protocol::index::{Grant, SignedIndex};
use netpay_protocol::key_list::{BrokerKeys, Purpose};
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::Paid;
use netpay_protocol::payment::{Pay, Payment, Revealed};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::runs::{self, Run};
use netpay_protocol::touchstone::Touchstone;

use super::offering::order_of;
use super::policy::Policy;
use crate::ports::{Entry, History, InOrder, InOrders, Reference, Slots, StoreError, Till, TillClaim, TillEcoin};
use crate::wallet::locking;

/// What a payee knows when a payment comes.
pub struct Payee<'a> {
    /// Itself.
    pub me: PeerId,
    /// The pinned broker.
    pub broker: BrokerId,
    /// Its keys, once there are any.
    pub keys: Option<&'a BrokerKeys>,
    /// The revocation list held.
    pub revoked: Option<&'a RevocationList>,
    /// What it takes.
    pub policy: &'a Policy,
    /// The time.
    pub now_ms: u64,
}

/// Why a payment is not accepted, or a chunk not served.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// What the other side is told.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The store failed; nothing was accepted.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn refuse<T>(text: impl Into<String>) -> Result<T, Refused> {
    Err(Problem::new(Kind::PaymentRefused, text).into())
}

fn later<T>(kind: Kind, text: &str) -> Result<T, Refused> {
    Err(Problem::new(kind, text).into())
}

/// The words a payee is told to repeat a payment by: the first form, with touchstone and grant.
pub const SEND_FIRST: &str = "this e-coin or grant is not known here: send touchstone and index";

/// Accepts a payment, or refuses it and changes nothing. Commit before the answer leaves.
pub fn accept(
    store: &(impl Till + InOrders + Slots + History),
    payee: &Payee<'_>,
    sender: PeerId,
    pay: &Pay,
) -> Result<Paid, Refused> {
    let order = order_of(store, sender, pay.order)?;
    let (ecoin, from) = pay.payment.grant();
    let held = store.till_ecoin(ecoin)?;
    let claims = store.claims(ecoin)?;
    let known = claims.iter().find(|claim| claim.grant.from == from);
    // What was accepted stays accepted, whatever has changed since: whoever heard no answer must get the same one.
    if let (Some(held), Some(known)) = (&held, known)
        && is_repeated(&held.touchstone.content, known, pay.payment.revealed())
    {
        return Ok(Paid { paid: order.paid });
    }
    if locking::must_lock(store)? {
        return later(Kind::Unavailable, "this payee was restored from a backup and takes no payments yet");
    }
    let (touchstone, index) = presented(payee, pay, held.as_ref(), known)?;
    let t = &touchstone.content;
    let revealed = pay.payment.revealed();

    check_touchstone(payee, touchstone, held.as_ref())?;
    if locking::is_locked(store, t)? {
        return refuse(
            "this payee was restored from a backup since the e-coin was issued, and takes younger ones only",
        );
    }
    let run = check_grant(payee, sender, t, &index, revealed, known)?;
    let accepted: Vec<Run> = union(&claims);
    let words = runs::count(&run.without(&accepted));
    let value = words.worth(t.unit_value);
    if claims.iter().any(|claim| claim.lost.is_some()) {
        return refuse("the broker refused this e-coin's words before: none are taken any more");
    }
    check_payer(store, payee, t, value)?;
    if order.paid == Units::ZERO && order.quote.content.expires_ms <= payee.now_ms {
        return Err(Problem::new(Kind::RequestExpired, "the quote has expired: ask again").into());
    }
    if let Some(known) = known
        && (known.grant.order != index.content.order || index.content.to < known.grant.to)
    {
        return refuse("a grant that begins at the same word keeps its order, and its end only grows");
    }
    let (high, high_word) = check_words(t, &index, revealed, held.as_ref())?;
    // A further grant on words that are here already: there is nothing to keep.
    if words == WordCount(0) && known.is_none() {
        return Ok(Paid { paid: order.paid });
    }
    store.put_till_ecoin(&TillEcoin {
        touchstone: touchstone.clone(),
        high,
        high_word,
        unknown: held.as_ref().is_some_and(|held| held.unknown),
    })?;
    store.put_claim(&grown(known, t, &index, revealed, payee.now_ms)?)?;
    credit(store, payee, pay, order, t, value)
}

/// Whether these words were accepted before, under this grant.
fn is_repeated(t: &Touchstone, known: &TillClaim, revealed: &Revealed) -> bool {
    let Some(word) = revealed.words.last() else { return false };
    known.grant.from <= revealed.through
        && revealed.through <= known.through
        && chain::reaches(t.suite, &t.ecoin, (revealed.through, word), (known.through, &known.word))
}

/// Touchstone and grant: as they come, or as they are known.
fn presented<'a>(
    payee: &Payee<'_>,
    pay: &'a Pay,
    held: Option<&'a TillEcoin>,
    known: Option<&TillClaim>,
) -> Result<(&'a Signed<Touchstone>, Signed<SignedIndex>), Refused> {
    match (&pay.payment, held, known) {
        (Payment::First { touchstone, index, .. }, ..) => Ok((touchstone, index.clone())),
        (Payment::Grown { index, .. }, Some(held), _) => Ok((&held.touchstone, index.clone())),
        (Payment::Words { ecoin, .. }, Some(held), Some(known)) => {
            Ok((&held.touchstone, known.grant.signed(payee.broker, *ecoin, payee.me)))
        }
        _ => refuse(SEND_FIRST),
    }
}

/// The touchstone is the pinned broker's, under a key that could sign it then and is not revoked.
fn check_touchstone(
    payee: &Payee<'_>,
    touchstone: &Signed<Touchstone>,
    held: Option<&TillEcoin>,
) -> Result<(), Refused> {
    let t = &touchstone.content;
    if t.broker != payee.broker {
        return refuse("the e-coin is another broker's");
    }
    let Some(keys) = payee.keys else {
        return later(Kind::Unavailable, "this payee has no key list of the broker's and takes no payments yet");
    };
    let Some(key) = keys.find(t.kid, Purpose::Touchstone, t.issued_at_ms) else {
        return refuse("the touchstone's key is not one of the broker's, or is revoked");
    };
    match held {
        Some(held) if held.touchstone.content != *t => {
            return refuse("another touchstone is known for this e-coin");
        }
        // It was verified when it came.
        Some(_) => {}
        None => {
            if payee.now_ms > keys.list().next_at_ms {
                return later(
                    Kind::Unavailable,
                    "the broker's key list is out of date: no first payment until there is a new one",
                );
            }
            if touchstone.verify(&key).is_err() {
                return refuse("the touchstone is not signed by the broker");
            }
        }
    }
    if let Some(why) = payee.policy.against(t, payee.now_ms) {
        return refuse(why);
    }
    if !t.guarantee.allows(payee.me) {
        return refuse("the e-coin is bound to another payee");
    }
    Ok(())
}

/// The grant is the payer's, for this payee, and covers the words. Answers the run.
fn check_grant(
    payee: &Payee<'_>,
    sender: PeerId,
    t: &Touchstone,
    index: &Signed<SignedIndex>,
    revealed: &Revealed,
    known: Option<&TillClaim>,
) -> Result<Run, Refused> {
    if t.payer != sender {
        return refuse("the e-coin is another payer's");
    }
    if t.payer == payee.me {
        return refuse("the payer is the payee");
    }
    if index.content.payee != payee.me {
        return refuse("the grant is for another payee");
    }
    // A grant that is held was verified when it came: from then on a payment costs hashes and no signature.
    let verified = known.is_some_and(|known| known.grant == Grant::from(index));
    if !verified && index.verify_under(t).is_err() {
        return refuse("the grant is not signed by the e-coin's payer");
    }
    if !index.content.covers(revealed.through, t.n) {
        return refuse(format!(
            "word {} is not one of the grant {}..{} on a chain of {}",
            revealed.through, index.content.from, index.content.to, t.n
        ));
    }
    match Run::new(index.content.from, revealed.through) {
        Some(run) => Ok(run),
        None => refuse("the payment has no words"),
    }
}

/// The payer may pay this much now.
fn check_payer(store: &impl Till, payee: &Payee<'_>, t: &Touchstone, value: Units) -> Result<(), Refused> {
    let oldest = payee.now_ms.saturating_sub(payee.policy.max_revocation_age_ms);
    match payee.revoked {
        Some(list) if list.issued_at_ms < oldest => {
            return later(Kind::Unavailable, "this payee's revocation list is too old to take payments");
        }
        None => {
            return later(Kind::Unavailable, "this payee has no revocation list and takes no payments yet");
        }
        Some(list) if list.contains(t.payer) => {
            return Err(Problem::new(Kind::Suspended, "the payer is on the revocation list").into());
        }
        Some(_) => {}
    }
    if store.double_spent(t.payer)? {
        return Err(Problem::new(Kind::Suspended, "the payer spent words twice before").into());
    }
    if payee.now_ms.saturating_add(payee.policy.spend_margin_ms) >= t.spend_until_ms {
        return refuse("the e-coin may not be spent any more");
    }
    let (of_payer, in_all) = store.exposure(t.payer)?;
    let above = |held: Units, most: Units| held.checked_add(value).is_none_or(|sum| sum > most);
    if above(of_payer, payee.policy.max_exposure_per_payer) || above(in_all, payee.policy.max_exposure) {
        return later(Kind::Busy, "this payee holds as much unredeemed money as it will; try again later");
    }
    Ok(())
}

/// The words are the chain's: from the highest one known down, one step per new word. Answers the highest word known.
fn check_words(
    t: &Touchstone,
    index: &Signed<SignedIndex>,
    revealed: &Revealed,
    held: Option<&TillEcoin>,
) -> Result<(PaywordIndex, netpay_protocol::suite::Payword), Refused> {
    let Some(last) = revealed.words.last() else {
        return refuse("the payment has no words");
    };
    let most = WordCount(revealed.through.0).minus(WordCount(index.content.from.0 - 1));
    let listed = u32::try_from(revealed.words.len()).ok().map(WordCount);
    if listed.is_none() || listed > most {
        return refuse("the payment lists words that are not the grant's");
    }
    let high = held.map_or((PaywordIndex(0), t.root), |held| (held.high, held.high_word));
    let new = (revealed.through, *last);
    let (lower, upper) = if new.0 > high.0 { (high, new) } else { (new, high) };
    if !chain::reaches(t.suite, &t.ecoin, (lower.0, &lower.1), (upper.0, &upper.1)) {
        return refuse("the words are not on the e-coin's chain");
    }
    // The paper's list W₁ … Wm: each must lead to the one before.
    let mut above = revealed.through;
    for pair in revealed.words.windows(2).rev() {
        let [below_word, word] = pair else { continue };
        if t.suite.step(&t.ecoin, above, word) != *below_word {
            return refuse("the words listed do not follow one another");
        }
        above = PaywordIndex(above.0 - 1);
    }
    Ok(upper)
}

/// The claim with the new grant and word.
fn grown(
    known: Option<&TillClaim>,
    t: &Touchstone,
    index: &Signed<SignedIndex>,
    revealed: &Revealed,
    now_ms: u64,
) -> Result<TillClaim, Refused> {
    let Some(word) = revealed.words.last().copied() else {
        return refuse("the payment has no words");
    };
    let grant = Grant::from(index);
    Ok(match known {
        None => TillClaim {
            ecoin: t.ecoin,
            settled: PaywordIndex(grant.from.0 - 1),
            grant,
            through: revealed.through,
            word,
            conflicting: WordCount(0),
            lost: None,
            since_ms: now_ms,
            again: false,
        },
        Some(known) if known.through >= revealed.through => TillClaim { grant, ..known.clone() },
        Some(known) => TillClaim {
            grant,
            through: revealed.through,
            word,
            since_ms: if known.settled >= known.through { now_ms } else { known.since_ms },
            ..known.clone()
        },
    })
}

fn credit(
    store: &(impl InOrders + History),
    payee: &Payee<'_>,
    pay: &Pay,
    order: InOrder,
    t: &Touchstone,
    value: Units,
) -> Result<Paid, Refused> {
    let paid = order.paid.checked_add(value).ok_or_else(|| StoreError::damaged("an order's sum overflows"))?;
    store.credit_in_order(pay.order, paid)?;
    store.note(Entry {
        at_ms: payee.now_ms,
        what: "accept".into(),
        with: Some(t.payer),
        ecoin: Some(t.ecoin),
        units: value,
        reference: Some(Reference::Order(pay.order)),
        note: format!("words through {}", pay.payment.revealed().through),
    })?;
    Ok(Paid { paid })
}

/// What was accepted of an e-coin: the union of its claims' runs, sorted and disjoint.
pub fn union(claims: &[TillClaim]) -> Vec<Run> {
    merged(claims.iter().filter_map(|claim| Run::new(claim.grant.from, claim.through)))
}

/// Sorted and disjoint runs with the same words.
pub fn merged(runs: impl Iterator<Item = Run>) -> Vec<Run> {
    let mut all: Vec<Run> = runs.collect();
    all.sort();
    let mut out: Vec<Run> = Vec::new();
    for run in all {
        match out.last_mut() {
            Some(last) if run.from <= last.through => last.through = last.through.max(run.through),
            _ => out.push(run),
        }
    }
    out
}
