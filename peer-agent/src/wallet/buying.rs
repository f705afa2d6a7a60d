//! Buying e-coins (the paper's M1 to M3).
//!
//! The signed order is stored before it is sent, and the same bytes are sent until an answer comes: a lost answer costs
//! nothing. An answer is believed only after the broker's signature, the order it answers, every touchstone and every
//! chain were checked; RSA is used after the signature and never before.

use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::chain::PaywordChain;
use netpay_protocol::ids::{BrokerId, EcoinId, RequestId};
use netpay_protocol::key_list::{BrokerKeys, Purpose};
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::Sold;
use netpay_protocol::problem::Problem;
use netpay_protocol::sealing::Purchase;
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};

use super::{locking, refusals};
use crate::home::identity::Identity;
use crate::ports::{Coins, Ecoin, Entry, History, PurchaseState, Purchases, Reference, Slots, StoreError, Stored};

/// How long the broker may carry an order out. Within it the order is sent again after every silence.
const ORDER_LIFE_MS: u64 = netpay_protocol::limits::HOUR_MS;

/// What to buy.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// How many chains.
    pub count: u32,
    /// How many words each.
    pub n: PaywordIndex,
    /// The hash suite.
    pub suite: Suite,
    /// What a word is worth.
    pub unit_value: UnitValue,
    /// To whom they may be paid.
    pub guarantee: Guarantee,
}

/// Why an answer to an order is not believed. The order stays pending.
#[derive(Debug, thiserror::Error)]
pub enum NotBelieved {
    /// Signed by no key of the pinned broker's for this purpose.
    #[error("the purchase is not signed by the pinned broker's touchstone key")]
    Signature,
    /// About another order.
    #[error("the answer is to another order")]
    AnotherOrder,
    /// The words do not open.
    #[error(transparent)]
    Sealed(#[from] netpay_protocol::sealing::DoesNotOpen),
    /// A touchstone says something else than what was ordered.
    #[error("e-coin {0}: {1}")]
    Touchstone(EcoinId, &'static str),
    /// It sells more than may be debited, or another number of chains.
    #[error("the broker sold something else than what was ordered")]
    Amount,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of an order.
#[derive(Debug)]
pub struct Bought {
    /// The e-coins that are new in the wallet.
    pub ecoins: Vec<Touchstone>,
    /// What they are worth: what was debited.
    pub debited: Units,
}

/// Step 1: signs an order and keeps it. Commit, then send the bytes of what this returns.
pub fn order(
    store: &(impl Purchases + History),
    me: &Identity,
    broker: BrokerId,
    request: RequestId,
    wish: Wish,
    now_ms: u64,
) -> Stored<Signed<BuyEcoins>> {
    let mut buy = BuyEcoins {
        broker,
        payer: me.peer(),
        request,
        valid_until_ms: now_ms.saturating_add(ORDER_LIFE_MS),
        count: wish.count,
        n: wish.n,
        suite: wish.suite,
        unit_value: wish.unit_value,
        most_debited_units: Units::ZERO,
        guarantee: wish.guarantee,
    };
    buy.most_debited_units = buy.worth();
    let buy = Signed::new(buy, &me.signing);
    store.add_purchase(&buy, now_ms)?;
    Ok(buy)
}

/// Step 2: takes the broker's answer. Everything it sold is in the wallet, and the order done, or nothing is.
pub fn receive(
    store: &(impl Purchases + Coins + Slots + History),
    me: &Identity,
    keys: &BrokerKeys,
    buy: &Signed<BuyEcoins>,
    sold: &Sold,
    now_ms: u64,
) -> Result<Bought, NotBelieved> {
    let ecoins = check(me, keys, &buy.content, sold, now_ms)?;
    let mut bought = Bought { ecoins: Vec::new(), debited: Units::ZERO };
    // Another process may have taken the answer meanwhile.
    if store.purchase_state(buy.content.request)? == Some(PurchaseState::Done) {
        return Ok(bought);
    }
    for mut ecoin in ecoins {
        // An answer from before a restore: another life of this wallet may have had it, and granted.
        ecoin.locked = locking::is_locked(store, &ecoin.touchstone.content)?;
        // An id that was ever known is never imported again: its words may have been granted.
        if store.add_ecoin(&ecoin, buy.content.request)? {
            bought.debited = bought.debited.checked_add(ecoin.touchstone.content.worth()).ok_or(NotBelieved::Amount)?;
            bought.ecoins.push(ecoin.touchstone.content);
        }
    }
    store.mark_purchase(buy.content.request, PurchaseState::Done, "")?;
    store.note(Entry {
        at_ms: now_ms,
        what: "buy".into(),
        with: None,
        ecoin: None,
        units: bought.debited,
        reference: Some(Reference::Request(buy.content.request)),
        note: format!("{} e-coins of {} words", bought.ecoins.len(), buy.content.n),
    })?;
    Ok(bought)
}

/// Step 2, when somebody says no in the broker's name: see [`refusals`].
pub fn rejected(
    store: &(impl Purchases + History),
    buy: &Signed<BuyEcoins>,
    problem: &Problem,
    now_ms: u64,
) -> Stored<()> {
    let Some(state) = refusals::state_after(problem, buy.content.valid_until_ms, now_ms) else { return Ok(()) };
    let why = refusals::why(problem);
    store.mark_purchase(buy.content.request, state, &why)?;
    store.note(Entry {
        at_ms: now_ms,
        what: if state == PurchaseState::Dropped { "buy_dropped" } else { "buy_refused" }.into(),
        with: None,
        ecoin: None,
        units: buy.content.most_debited_units,
        reference: Some(Reference::Request(buy.content.request)),
        note: why,
    })
}

/// The orders to be sent (again) now: those without an answer, and those that were refused and whose time is over.
pub fn to_send(store: &impl Purchases, now_ms: u64) -> Stored<Vec<Signed<BuyEcoins>>> {
    let mut orders = store.purchases(PurchaseState::Pending)?;
    let refused = store.purchases(PurchaseState::Refused)?;
    orders.extend(refused.into_iter().filter(|buy| refusals::is_over(buy.content.valid_until_ms, now_ms)));
    Ok(orders)
}

/// Every order that brought nothing so far, also those given up.
pub fn unfulfilled(store: &impl Purchases) -> Stored<Vec<Signed<BuyEcoins>>> {
    let mut orders = Vec::new();
    for state in [PurchaseState::Pending, PurchaseState::Refused, PurchaseState::Dropped] {
        orders.extend(store.purchases(state)?);
    }
    Ok(orders)
}

/// Everything that must hold before an answer is money.
fn check(
    me: &Identity,
    keys: &BrokerKeys,
    buy: &BuyEcoins,
    sold: &Sold,
    now_ms: u64,
) -> Result<Vec<Ecoin>, NotBelieved> {
    let sealed = &sold.sealed.content;
    // An answer that is repeated may be signed anew, or be the first one under a key that has retired since.
    let issued_at = sold.touchstones.first().map(|t| t.content.issued_at_ms);
    let key = [Some(now_ms), issued_at]
        .into_iter()
        .flatten()
        .find_map(|at| keys.find(sealed.kid, Purpose::Touchstone, at))
        .ok_or(NotBelieved::Signature)?;
    sold.sealed.verify(&key).map_err(|_| NotBelieved::Signature)?;
    if (sealed.broker, sealed.payer, sealed.request) != (buy.broker, buy.payer, buy.request) {
        return Err(NotBelieved::AnotherOrder);
    }
    let purchase = Purchase { broker: buy.broker, payer: buy.payer, request: buy.request };
    let words = me.open(purchase, sealed)?;
    let ordered = usize::try_from(buy.count).map_err(|_| NotBelieved::Amount)?;
    if words.len() != ordered || sold.touchstones.len() != ordered {
        return Err(NotBelieved::Amount);
    }
    let mut sum = Units::ZERO;
    let mut ecoins: Vec<Ecoin> = Vec::with_capacity(ordered);
    for (touchstone, (id, last)) in sold.touchstones.iter().zip(words) {
        let t = &touchstone.content;
        let wrong = |what| Err(NotBelieved::Touchstone(t.ecoin, what));
        if t.ecoin != id || ecoins.iter().any(|e| e.touchstone.content.ecoin == id) {
            return wrong("its words are another e-coin's");
        }
        let Some(key) = keys.find(t.kid, Purpose::Touchstone, t.issued_at_ms) else {
            return wrong("its touchstone is signed by no key of the broker's");
        };
        if touchstone.verify(&key).is_err() || t.broker != buy.broker {
            return wrong("its touchstone is not the broker's");
        }
        if (t.suite, t.n, t.unit_value, t.guarantee) != (buy.suite, buy.n, buy.unit_value, buy.guarantee) {
            return wrong("it is not what was ordered");
        }
        // An order from before a rotation is sold to the key that signed it.
        if t.payer != buy.payer || me.granting_key(&t.payer_key).is_none() {
            return wrong("it is another payer's");
        }
        if PaywordChain::below(t.suite, &t.ecoin, t.n, last).root() != t.root {
            return wrong("its words do not lead to its root");
        }
        sum = sum.checked_add(t.worth()).ok_or(NotBelieved::Amount)?;
        ecoins.push(Ecoin { touchstone: touchstone.clone(), last, locked: false });
    }
    if sum > buy.most_debited_units {
        return Err(NotBelieved::Amount);
    }
    Ok(ecoins)
}
