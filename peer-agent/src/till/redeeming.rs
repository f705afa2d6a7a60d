//! Redeeming claims in batches (the paper's M6 and M7), and settling them by the broker's statement.
//!
//! The signed batch is stored before it is sent and the same bytes are sent until a statement answers it. A line of the
//! statement settles the words of its own claim, so words that were accepted meanwhile wait for the next batch.

use netpay_protocol::amounts::{PaywordIndex, Units, WordCount};
use netpay_protocol::ids::{BrokerId, PeerId, RequestId};
use netpay_protocol::key_list::{BrokerKeys, Purpose};
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::{DAY_MS, MAX_CLAIMS_PER_BATCH, MAX_STEPS_PER_BATCH, MAX_TOUCHSTONES_PER_BATCH};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::redemption::{Claim, Head, Line, NotTheAnswer, RedemptionBatch, Statement, Verdict};
use netpay_protocol::touchstone::Touchstone;
use netpay_protocol::wire;

use super::schedule::Held;
use crate::home::identity::Identity;
use crate::ports::{Batches, Entry, History, Reference, Slot, Slots, StoreError, Stored, Till, TillClaim};
use crate::wallet::broker_lists;

/// Why a statement is not believed. The batch stays open.
#[derive(Debug, thiserror::Error)]
pub enum NotBelieved {
    /// Signed by no key of the pinned broker's for this purpose.
    #[error("the statement is not signed by the pinned broker")]
    Signature,
    /// Not about this batch.
    #[error(transparent)]
    NotTheAnswer(#[from] NotTheAnswer),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which claims a redemption asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// Those with words that no statement settled.
    Unsettled,
    /// Every one that is still held: after the broker was restored from a backup.
    All,
}

/// Who redeems where.
pub struct Redeemer<'a> {
    /// The payee.
    pub me: &'a Identity,
    /// At which broker.
    pub broker: BrokerId,
}

/// Step 1: the open batch, or a new one with the claims after `cursor`; `None` when there are none. Answers the cursor
/// behind the last claim too, so that one redemption asks for each claim once.
pub fn batch(
    store: &(impl Till + Batches + Slots),
    who: &Redeemer<'_>,
    request: RequestId,
    which: Which,
    cursor: i64,
    now_ms: u64,
) -> Stored<Option<(Signed<RedemptionBatch>, i64)>> {
    if let Some(open) = store.open_batch()? {
        return Ok(Some((open, cursor)));
    }
    let payee = who.me.peer();
    let mut batch = RedemptionBatch { broker: who.broker, payee, request, seen: seen(store)?, claims: Vec::new() };
    let (mut last, mut steps, mut touchstones) = (cursor, 0_u64, 0_u32);
    for (id, held) in store.claims_after(cursor, which == Which::All, MAX_CLAIMS_PER_BATCH)? {
        if which == Which::Unsettled && held.settled >= held.through && is_over(store, &held, now_ms)? {
            // Asked for again until its time was over.
            store.put_claim(&TillClaim { again: false, ..held })?;
            continue;
        }
        steps = steps.saturating_add(u64::from(held.through.0));
        if store.till_ecoin(held.ecoin)?.is_some_and(|e| e.unknown) {
            touchstones += 1;
        }
        if steps > MAX_STEPS_PER_BATCH || touchstones > MAX_TOUCHSTONES_PER_BATCH {
            break;
        }
        batch.claims.push(Claim {
            index: held.grant.signed(who.broker, held.ecoin, payee),
            through: held.through,
            word: held.word,
        });
        last = id;
    }
    if batch.claims.is_empty() {
        return Ok(None);
    }
    let batch = Signed::new(batch, &who.me.signing);
    store.add_batch(&batch, now_ms)?;
    Ok(Some((batch, last)))
}

/// The touchstones that go along: those of e-coins that the broker called unknown.
pub fn touchstones(store: &impl Till, batch: &RedemptionBatch) -> Stored<Vec<Signed<Touchstone>>> {
    let mut out: Vec<Signed<Touchstone>> = Vec::new();
    for claim in &batch.claims {
        if out.iter().any(|t| t.content.ecoin == claim.ecoin()) {
            continue;
        }
        if let Some(ecoin) = store.till_ecoin(claim.ecoin())?.filter(|ecoin| ecoin.unknown) {
            out.push(ecoin.touchstone);
        }
    }
    Ok(out)
}

/// Step 2: takes the broker's statement. Answers each line with its claim and what it credited.
pub fn settle(
    store: &(impl Till + Batches + Slots + History),
    keys: &BrokerKeys,
    batch: &RedemptionBatch,
    statement: &Signed<Statement>,
    now_ms: u64,
) -> Result<Vec<SettledLine>, NotBelieved> {
    let s = &statement.content;
    let key = keys.find(s.kid, Purpose::Statement, s.issued_at_ms).ok_or(NotBelieved::Signature)?;
    statement.verify(&key).map_err(|_| NotBelieved::Signature)?;
    s.answers(batch)?;
    let open = store.open_batch()?;
    let still_open = open.is_some_and(|open| open.content == *batch);
    if still_open && incarnation_seen(store)?.is_some_and(|seen| seen < s.incarnation) {
        // Before the lines, which settle their claims in this life.
        ask_again(store, now_ms)?;
    }
    let mut lines = Vec::with_capacity(s.lines.len());
    for (line, claim) in s.lines.iter().zip(&batch.claims) {
        let line = settled_line(store, claim, *line)?;
        // Another process may have taken the same statement meanwhile.
        if still_open {
            settle_claim(store, claim, &line, s.request, now_ms)?;
        }
        lines.push(line);
    }
    if still_open {
        store.settle_batch(statement)?;
        // A late answer of an earlier life does not bring that life back.
        if incarnation_seen(store)?.is_none_or(|seen| seen <= s.incarnation) {
            store.put_slot(Slot::Head, &wire::encode(&s.head))?;
            store.put_slot(Slot::Incarnation, &s.incarnation.to_be_bytes())?;
        }
    }
    Ok(lines)
}

/// Step 2, when the broker rejects the batch as a whole. A passing problem keeps it; anything else frees its claims for
/// another batch. Answers whether it ended.
pub fn rejected(
    store: &(impl Till + Batches + Slots + History),
    batch: &RedemptionBatch,
    problem: &Problem,
    now_ms: u64,
) -> Stored<bool> {
    if problem.kind.is_passing() {
        return Ok(false);
    }
    if problem.kind == Kind::Fork {
        // The head that we saw is of a ledger that is no more: the next batch does without.
        store.put_slot(Slot::Head, &wire::encode(&Head::default()))?;
        ask_again(store, now_ms)?;
    }
    store.drop_batch(batch.request)?;
    Ok(true)
}

/// Whether the broker's revocation list is of a later life than its last statement: it was restored from a backup, and may
/// have forgotten what it paid.
pub fn is_restored(store: &impl Slots) -> Stored<bool> {
    let life = broker_lists::revoked_incarnation(store)?;
    Ok(incarnation_seen(store)?.is_some_and(|seen| seen < life))
}

/// The broker may have forgotten what it paid: everything that was settled and can still be redeemed is asked for again.
/// What it does remember is answered `already_paid`, and changes nothing. Earlier statements stay as they are.
pub fn ask_again(store: &(impl Till + History), now_ms: u64) -> Stored<()> {
    let mut opened = 0_u64;
    for (_, held) in store.claims_after(0, true, u32::MAX)? {
        let never_settled = held.settled < held.grant.from;
        if held.again || held.lost.is_some() || never_settled || is_over(store, &held, now_ms)? {
            continue;
        }
        store.put_claim(&TillClaim { again: true, ..held })?;
        opened += 1;
    }
    if opened == 0 {
        return Ok(());
    }
    store.note(Entry {
        at_ms: now_ms,
        what: "broker_restored".into(),
        with: None,
        ecoin: None,
        units: Units::ZERO,
        reference: None,
        note: format!("the broker was restored from a backup: {opened} settled claims are asked for again"),
    })
}

/// Whether settled claims wait to be asked for again.
pub fn asks_again(store: &impl Till) -> Stored<bool> {
    Ok(store.claims_after(0, false, u32::MAX)?.iter().any(|(_, held)| held.again))
}

/// Whether it is too late to redeem, even by a slow clock.
fn is_over(store: &impl Till, held: &TillClaim, now_ms: u64) -> Stored<bool> {
    let missing = || StoreError::damaged("a claim without its e-coin");
    let until_ms = store.till_ecoin(held.ecoin)?.ok_or_else(missing)?.touchstone.content.redeem_until_ms;
    Ok(now_ms >= until_ms.saturating_add(DAY_MS))
}

/// A line of a statement with the claim that it answers.
#[derive(Clone, Debug)]
pub struct SettledLine {
    /// The claim.
    pub claim: Claim,
    /// The broker's word on it.
    pub line: Line,
    /// Who paid.
    pub payer: Option<PeerId>,
    /// What was credited.
    pub credited: Units,
}

fn settled_line(store: &impl Till, claim: &Claim, line: Line) -> Stored<SettledLine> {
    let ecoin = store.till_ecoin(claim.ecoin())?;
    let t = ecoin.as_ref().map(|ecoin| &ecoin.touchstone.content);
    Ok(SettledLine {
        claim: claim.clone(),
        line,
        payer: t.map(|t| t.payer),
        credited: t.map_or(Units::ZERO, |t| line.credited.worth(t.unit_value)),
    })
}

/// Settles the words of one claim, and no others.
fn settle_claim(
    store: &(impl Till + History),
    claim: &Claim,
    line: &SettledLine,
    request: RequestId,
    now_ms: u64,
) -> Stored<()> {
    let claims = store.claims(claim.ecoin())?;
    let from = claim.index.content.from;
    let missing = || StoreError::damaged("a claim that was asked for is missing");
    let held = claims.into_iter().find(|held| held.grant.from == from).ok_or_else(missing)?;
    let mut ecoin = store.till_ecoin(claim.ecoin())?.ok_or_else(missing)?;
    let unit = ecoin.touchstone.content.unit_value;
    let note = |what: &str, words: WordCount, text: String| {
        store.note(Entry {
            at_ms: now_ms,
            what: what.into(),
            with: line.payer,
            ecoin: Some(claim.ecoin()),
            units: words.worth(unit),
            reference: Some(Reference::Request(request)),
            note: text,
        })
    };
    let verdict = line.line.verdict;
    let newly = WordCount(claim.through.0.saturating_sub(held.settled.0));
    if verdict.settles() {
        let conflicting = line.line.conflicting;
        note("redeem", line.line.credited, verdict.name().into())?;
        // Words that leave the till and were credited before: the statement of that batch was lost.
        let lost = WordCount(conflicting.0.saturating_sub(held.conflicting.0));
        let before =
            [line.line.credited, lost].into_iter().fold(newly, |left, words| left.minus(words).unwrap_or_default());
        // The other way round: words that the balance has, and that a restored broker knew nothing of.
        let regained = held.conflicting.minus(conflicting).unwrap_or_default().min(line.line.credited);
        let forgotten = line.line.credited.plus(lost).minus(newly.plus(regained)).unwrap_or_default();
        if regained.0 > 0 {
            note(
                "regained",
                regained,
                "a broker restored from a backup had forgotten that somebody else was paid".into(),
            )?;
        }
        if forgotten.0 > 0 {
            note("forgotten", forgotten, "a broker restored from a backup had forgotten that it paid them".into())?;
        }
        if before.0 > 0 {
            note("paid_before", before, "credited by an earlier batch, whose statement was lost".into())?;
        }
        if conflicting.0 > 0 && conflicting != held.conflicting {
            note("double_spend", conflicting, "the payer had spent these words with somebody else: lost".into())?;
        }
        store.put_claim(&TillClaim {
            settled: held.settled.max(claim.through),
            conflicting: held.conflicting.max(conflicting),
            again: false,
            ..held
        })?;
        if ecoin.unknown {
            ecoin.unknown = false;
            store.put_till_ecoin(&ecoin)?;
        }
        return Ok(());
    }
    if verdict == Verdict::UnknownEcoin {
        ecoin.unknown = true;
        return store.put_till_ecoin(&ecoin);
    }
    note("lost", newly, verdict.name().into())?;
    // A claim whose words were all settled before loses nothing by being asked for again.
    let lost = if held.settled < claim.through { Some(verdict) } else { held.lost };
    store.put_claim(&TillClaim { lost, again: false, ..held })
}

/// The last ledger head that a statement showed.
fn seen(store: &impl Slots) -> Stored<Head> {
    match store.slot(Slot::Head)? {
        None => Ok(Head::default()),
        Some(bytes) => wire::decode(&bytes).map_err(|error| StoreError(Box::new(error))),
    }
}

/// The broker's incarnation in the last statement.
pub fn incarnation_seen(store: &impl Slots) -> Stored<Option<u64>> {
    let Some(bytes) = store.slot(Slot::Incarnation)? else { return Ok(None) };
    let bytes = bytes.try_into().map_err(|_| StoreError::damaged("an incarnation that has not 8 bytes"))?;
    Ok(Some(u64::from_be_bytes(bytes)))
}

/// The ledger position that an answer must not fall short of: the last one seen, unless the broker's lists are of a
/// later incarnation, whose ledger may be shorter.
pub fn position_seen(store: &impl Slots, broker: BrokerId) -> Stored<u64> {
    let keys = broker_lists::keys(store, broker)?.map_or(0, |keys| keys.list().incarnation);
    let revoked = broker_lists::revoked_incarnation(store)?;
    let same = incarnation_seen(store)?.is_some_and(|seen| seen >= keys.max(revoked));
    Ok(if same { seen(store)?.position } else { 0 })
}

/// What is accepted and not settled, if there is something.
pub fn held(store: &impl Till) -> Stored<Option<Held>> {
    let mut sum: Option<Held> = None;
    for (_, claim) in store.claims_after(0, false, u32::MAX)? {
        let missing = || StoreError::damaged("a claim without its e-coin");
        let t = store.till_ecoin(claim.ecoin)?.ok_or_else(missing)?.touchstone.content;
        let worth = unsettled(&claim).worth(t.unit_value);
        let so_far = sum.unwrap_or(Held {
            worth: Units::ZERO,
            claims: 0,
            oldest_ms: claim.since_ms,
            redeem_until_ms: t.redeem_until_ms,
        });
        sum = Some(Held {
            worth: so_far.worth.checked_add(worth).unwrap_or(so_far.worth),
            claims: so_far.claims + 1,
            oldest_ms: so_far.oldest_ms.min(claim.since_ms),
            redeem_until_ms: so_far.redeem_until_ms.min(t.redeem_until_ms),
        });
    }
    Ok(sum)
}

/// Words of a claim that no statement settled.
pub fn unsettled(claim: &TillClaim) -> WordCount {
    let nothing = PaywordIndex(claim.grant.from.0.saturating_sub(1));
    WordCount(claim.through.0.saturating_sub(claim.settled.max(nothing).0))
}
