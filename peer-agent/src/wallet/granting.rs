//! Granting words and revealing them (DESIGN §3.5, the paper's M4).
//!
//! Every step is one transaction that leaves a [`Pay`] in the order before it is sent: sent again after a crash it is
//! the same payment, which the payee counts once. Nothing new is granted while a payment of the order is unanswered, so
//! nothing is ever paid twice.
//!
//! A word that left is the payee's, whatever the payee answered: a refusal is not signed. So words of a refused payment
//! go out again with the next payment there, and are the only ones that it may find counted already. The invariant:
//! what a payee acknowledges is at least the words that left for the first time (else [`Short`], and the order ends)
//! and at most all that were sent (more is not believed); and while nothing is pending, `sent` is what was acknowledged.

use netpay_protocol::amounts::{PaywordIndex, Units, WordCount};
use netpay_protocol::chain::PaywordChain;
use netpay_protocol::ids::{Digest, PeerId};
use netpay_protocol::index::{Grant, SignedIndex};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::Quoted;
use netpay_protocol::payment::{Pay, Payment, Revealed};
use netpay_protocol::suite::Suite;

use super::locking;
use super::purse::{self, Chain, Due, Mode, Step, Words};
use crate::content::MAX_CONTENT_BYTES;
use crate::home::identity::Identity;
use crate::ports::{
    Coins, Entry, History, OutOrder, OutOrders, OwnGrant, Pending, Reference, Slots, StoreError, Stored,
};

/// Why there is no payment.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The wallet has not enough that this payee would take.
    #[error(
        "the wallet has {have} units that this payee takes, free to spend and in words that fit, and {need} are due; buy more with: netpay buy"
    )]
    NotEnough {
        /// What it has.
        have: Units,
        /// What is due.
        need: Units,
    },
    /// There are words enough, but they do not add up to what may be paid.
    #[error(
        "the wallet's words do not add up to {price} units, and the next more are {total}: allow it with --max-price, or buy smaller words"
    )]
    TooLarge {
        /// What may be paid at most.
        price: Units,
        /// What would be paid.
        total: Units,
    },
    /// Another order's payment to this payee is unanswered, and its words are in the way.
    #[error("a payment of another order to this supplier is not answered yet: try again")]
    Busy,
    /// A home made from a backup grants nothing before it is locked.
    #[error("{}", locking::RESTORE_FIRST)]
    RestoreFirst,
    /// There is no such order in the wallet.
    #[error("the wallet has no such order")]
    UnknownOrder,
    /// The payee acknowledged less than what it was sent.
    #[error(transparent)]
    Short(#[from] Short),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The payee acknowledged less than what it was sent. A value and no error of the step that finds it: what was
/// acknowledged is kept all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the payee says that {acknowledged} units were paid, and {sent} were sent")]
pub struct Short {
    /// What it says.
    pub acknowledged: Units,
    /// What it was sent.
    pub sent: Units,
}

/// Keeps a quote that was verified, as an order to be paid. The same quote again is the same order, as it stands. One that
/// had ended is under way again: a later run must find what is paid from now on.
pub fn open_order(store: &impl OutOrders, quoted: &Quoted) -> Stored<OutOrder> {
    if let Some(mut held) = store.out_order(quoted.quote.content.digest())? {
        if std::mem::take(&mut held.done) {
            store.put_out_order(&held)?;
        }
        return Ok(held);
    }
    let order = OutOrder {
        quote: quoted.quote.clone(),
        payee_key: quoted.key,
        suites: quoted.suites.clone(),
        sent: Units::ZERO,
        paid: Units::ZERO,
        words: WordCount(0),
        pending: None,
        done: false,
    };
    store.put_out_order(&order)?;
    Ok(order)
}

/// The next payment until `due` is paid towards the order in all; `None` when it is. A payment that was not answered is
/// the next one, whatever is due. Never sends more than `most` for the order in all.
pub fn pay(
    store: &(impl Coins + OutOrders + Slots + History),
    me: &Identity,
    order: Digest,
    due: Units,
    most: Units,
    mode: Mode,
    now_ms: u64,
) -> Result<Option<Pay>, Error> {
    if locking::must_lock(store)? {
        return Err(Error::RestoreFirst);
    }
    let mut out = store.out_order(order)?.ok_or(Error::UnknownOrder)?;
    if let Some(pending) = out.pending {
        return Ok(Some(pending.pay));
    }
    let quote = &out.quote.content;
    let missing = |target: Units| target.min(quote.price_units).saturating_sub(out.sent);
    if missing(due) == Units::ZERO {
        return Ok(None);
    }
    let due = Due {
        payee: quote.payee,
        bound_to: match mode {
            Mode::Session => order,
            Mode::PerPayment => Digest::ZERO,
        },
        now: missing(due),
        in_all: missing(quote.price_units),
        most: most.saturating_sub(out.sent),
        suites: &out.suites,
        mode,
        at_ms: now_ms,
    };
    let mut chains = chains(store)?;
    // Another process may have changed the keys since this one read them, and bought.
    chains.retain(|chain| me.granting_key(&chain.ecoin.touchstone.content.payer_key).is_some());
    let unanswered = unanswered(store, due.payee)?;
    let busy = |own: &OwnGrant| unanswered.contains(&(own.ecoin, own.grant.from));
    let (chain, step) = purse::choose(&chains, &due, &busy).ok_or_else(|| lack(&chains, &due, &busy))?;
    let pay = Pay { order, payment: reveal(store, me, chain, step, &due)? };
    let unit = chain.ecoin.touchstone.content.unit_value;
    let units = step.words.worth(unit);
    store.note(Entry {
        at_ms: now_ms,
        what: "grant".into(),
        with: Some(due.payee),
        ecoin: Some(chain.ecoin.touchstone.content.ecoin),
        units,
        reference: Some(Reference::Order(order)),
        note: format!("words through {} of {}..{}", step.through, step.from, step.to),
    })?;
    out.sent = out.sent.checked_add(units).ok_or_else(overflow)?;
    out.words = out.words.plus(step.words);
    out.pending = Some(Pending { pay: pay.clone(), units, sent_before: chain.sent_before(&step).worth(unit) });
    store.put_out_order(&out)?;
    Ok(Some(pay))
}

/// The payee took this payment and says what was paid in all. Does nothing unless it is the pending one: another process
/// may have brought the same answer, and paid on.
pub fn acknowledged(
    store: &(impl Coins + OutOrders),
    order: Digest,
    pay: &Pay,
    paid: Units,
) -> Result<Result<(), Short>, Error> {
    let mut out = store.out_order(order)?.ok_or(Error::UnknownOrder)?;
    let Some(pending) = out.pending.take_if(|pending| pending.pay == *pay) else {
        return Ok(Ok(()));
    };
    let (ecoin, from) = pay.payment.grant();
    let grants = store.grants(ecoin)?;
    let own = grants.iter().find(|own| own.grant.from == from);
    let mut own = own.cloned().ok_or_else(|| StoreError::damaged("a payment without its grant"))?;
    own.acked = own.acked.max(pay.payment.revealed().through);
    own.acked_to = own.grant.to;
    store.put_grant(&own)?;
    if let Some(held) = store.ecoin(ecoin)? {
        let chain = Chain { ecoin: held, grants: store.grants(ecoin)? };
        if chain.unspent().0 == 0 {
            store.retire_ecoin(ecoin)?;
        }
    }
    let short = Short { acknowledged: paid, sent: out.sent };
    let is_short = paid < out.sent.saturating_sub(pending.sent_before);
    out.done |= is_short;
    out.paid = out.paid.max(paid.min(out.sent));
    out.sent = out.paid;
    store.put_out_order(&out)?;
    Ok(if is_short { Err(short) } else { Ok(()) })
}

/// The payee refused this payment for good, and it was the pending one: its words pay the next order there.
pub fn refused(
    store: &(impl OutOrders + History),
    order: Digest,
    pay: &Pay,
    why: &str,
    now_ms: u64,
) -> Result<(), Error> {
    let mut out = store.out_order(order)?.ok_or(Error::UnknownOrder)?;
    let Some(pending) = out.pending.take_if(|pending| pending.pay == *pay) else {
        return Ok(());
    };
    out.sent = out.sent.saturating_sub(pending.units);
    store.note(Entry {
        at_ms: now_ms,
        what: "refused".into(),
        with: Some(out.quote.content.payee),
        ecoin: Some(pay.payment.grant().0),
        units: pending.units,
        reference: Some(Reference::Order(order)),
        note: why.into(),
    })?;
    // What was paid before keeps its worth: such an order is taken up again later.
    out.done = out.sent == Units::ZERO;
    Ok(store.put_out_order(&out)?)
}

/// The order is over: everything it pays for was received.
pub fn close_order(store: &impl OutOrders, order: Digest) -> Result<(), Error> {
    let mut out = store.out_order(order)?.ok_or(Error::UnknownOrder)?;
    out.done = true;
    Ok(store.put_out_order(&out)?)
}

/// The same payment with everything a payee needs that knows neither e-coin nor grant.
pub fn as_first(store: &impl Coins, pay: &Pay) -> Result<Pay, Error> {
    let (ecoin, from) = pay.payment.grant();
    let missing = || StoreError::damaged("a payment without its e-coin or grant");
    let touchstone = store.ecoin(ecoin)?.ok_or_else(missing)?.touchstone;
    let grants = store.grants(ecoin)?;
    let own = grants.iter().find(|own| own.grant.from == from).ok_or_else(missing)?;
    Ok(Pay {
        order: pay.order,
        payment: Payment::First {
            index: own.grant.signed(touchstone.content.broker, ecoin, own.payee),
            touchstone,
            revealed: pay.payment.revealed().clone(),
        },
    })
}

/// Writes the grant and how far its words went, and makes the payment in the shortest form that the payee can read.
fn reveal(store: &impl Coins, me: &Identity, chain: &Chain, step: Step, due: &Due<'_>) -> Result<Payment, Error> {
    let touchstone = &chain.ecoin.touchstone;
    let t = &touchstone.content;
    let held = chain.grants.iter().find(|own| own.grant.from == step.from);
    let mut own = match held {
        Some(own) if own.grant.to == step.to => own.clone(),
        _ => {
            let order = held.map_or(due.bound_to, |own| own.grant.order);
            let index =
                SignedIndex { broker: t.broker, ecoin: t.ecoin, from: step.from, to: step.to, payee: due.payee, order };
            let key = me.granting_key(&t.payer_key).ok_or_else(|| StoreError::damaged("an e-coin of other keys"))?;
            let nothing = PaywordIndex(step.from.0.saturating_sub(1));
            OwnGrant {
                ecoin: t.ecoin,
                payee: due.payee,
                grant: Grant::from(&Signed::new(index, key)),
                through: held.map_or(nothing, |own| own.through),
                acked: held.map_or(nothing, |own| own.acked),
                acked_to: held.map_or(PaywordIndex(0), |own| own.acked_to),
            }
        }
    };
    own.through = own.through.max(step.through);
    store.put_grant(&own)?;
    let word = PaywordChain::below(t.suite, &t.ecoin, t.n, chain.ecoin.last)
        .word(step.through)
        .ok_or_else(|| StoreError::damaged("a grant past the end of its chain"))?;
    let revealed = Revealed::one(step.through, word);
    let index = own.grant.signed(t.broker, t.ecoin, own.payee);
    let payee_knows_ecoin = chain.grants.iter().any(|own| own.payee == due.payee && own.acked_to.0 > 0);
    Ok(if own.acked_to == own.grant.to {
        Payment::Words { ecoin: t.ecoin, from: step.from, revealed }
    } else if payee_knows_ecoin {
        Payment::Grown { index, revealed }
    } else {
        Payment::First { touchstone: touchstone.clone(), index, revealed }
    })
}

/// The wallet's chains that still have something to spend.
pub fn chains(store: &impl Coins) -> Stored<Vec<Chain>> {
    let with_grants = |ecoin: crate::ports::Ecoin| {
        let grants = store.grants(ecoin.touchstone.content.ecoin)?;
        Ok(Chain { ecoin, grants })
    };
    store.live_ecoins()?.into_iter().map(with_grants).collect()
}

/// Grants to this payee on which a payment was not answered.
fn unanswered(store: &impl OutOrders, payee: PeerId) -> Stored<Vec<(netpay_protocol::ids::EcoinId, PaywordIndex)>> {
    let pending = |order: OutOrder| order.pending.map(|pending| pending.pay.payment.grant());
    Ok(store.open_out_orders(payee)?.into_iter().filter_map(pending).collect())
}

/// Whether the wallet can pay a quote with words that its payee takes, and with no more than `most`. Nothing is granted.
pub fn can_pay(
    store: &(impl Coins + OutOrders),
    quoted: &Quoted,
    most: Units,
    mode: Mode,
    now_ms: u64,
) -> Result<(), Error> {
    let quote = &quoted.quote.content;
    let price = quote.price_units;
    let due = Due {
        payee: quote.payee,
        bound_to: quote.digest(),
        now: price,
        in_all: price,
        most,
        suites: &quoted.suites,
        mode,
        at_ms: now_ms,
    };
    let chains = chains(store)?;
    // What is unanswered now will be answered before it is built on.
    let is_payable = Words::free(&chains, &due, &|_| false).total_for(price).is_some_and(|total| total <= most);
    if is_payable { Ok(()) } else { Err(lack(&chains, &due, &|_| false)) }
}

/// Why there is no next payment.
fn lack(chains: &[Chain], due: &Due<'_>, busy: &dyn Fn(&OwnGrant) -> bool) -> Error {
    let total = |busy: &dyn Fn(&OwnGrant) -> bool| Words::free(chains, due, busy).total_for(due.in_all);
    match (total(busy), total(&|_| false)) {
        (None, Some(_)) => Error::Busy,
        (Some(total), _) if total > due.most => Error::TooLarge { price: due.most, total },
        _ => Error::NotEnough { have: free_to_spend(chains, due), need: due.now },
    }
}

fn free_to_spend(chains: &[Chain], due: &Due<'_>) -> Units {
    chains
        .iter()
        .filter(|chain| chain.suits(due) && chain.word_worth() <= due.most)
        .filter(|chain| !chain.grants.iter().any(|own| own.is_open() && own.payee != due.payee))
        .map(|chain| chain.remaining().worth(chain.ecoin.touchstone.content.unit_value))
        .fold(Units::ZERO, |sum, units| sum.checked_add(units).unwrap_or(sum))
}

fn overflow() -> StoreError {
    StoreError::damaged("an order's sum overflows")
}

/// Whether a quote is what was asked for. `None` when it is; otherwise what is wrong. Whether its key speaks for the payee is
/// for [`certificates`](super::certificates) to say.
pub fn wrong_with(
    quoted: &Quoted,
    broker: netpay_protocol::ids::BrokerId,
    payee: PeerId,
    content: netpay_protocol::ids::ContentId,
    now_ms: u64,
) -> Option<&'static str> {
    let quote = &quoted.quote.content;
    let key: &PublicKey = &quoted.key;
    if quoted.quote.verify(key).is_err() || quote.payee != payee {
        return Some("the quote is not signed by the peer that was asked");
    }
    if quote.broker != broker {
        return Some("the quote is in another broker's money");
    }
    if quote.content != content {
        return Some("the quote is for other content");
    }
    if quote.size_bytes > MAX_CONTENT_BYTES {
        return Some("the quote is for more bytes than content can have");
    }
    if quote.expires_ms <= now_ms {
        return Some("the quote has expired");
    }
    let known = |suite: &Suite| matches!(suite, Suite::Md5 | Suite::Sha256);
    if !quoted.suites.iter().any(known) {
        return Some("the supplier takes no suite");
    }
    None
}

/// The digest that names an order.
pub fn order_of(order: &OutOrder) -> Digest {
    order.quote.content.digest()
}
