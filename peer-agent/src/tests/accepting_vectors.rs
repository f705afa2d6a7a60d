//! The answers that the protocol's vectors promise a payer are those that this payee gives. Reads the file alone.

use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units, WordCount};
use netpay_protocol::ids::{BrokerId, Digest, PeerId};
use netpay_protocol::index::Grant;
use netpay_protocol::keys::Signature;
use netpay_protocol::layout::{Layout, Signed};
use netpay_protocol::payment::Pay;
use netpay_protocol::redemption::Verdict;
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::wire;

use crate::ports::{InOrder, InOrders as _, Slot, Slots as _, Till as _, TillClaim, TillEcoin};
use crate::store::{Store, Tx};
use crate::tests::vectors::vector_files::{Vector, vectors};
use crate::till::accepting::{self, Payee, Refused};
use crate::till::policy::Policy;
use crate::wallet::locking;

fn signed<L: Layout>(v: &Vector) -> Signed<L> {
    let content = L::from_bytes(&v.bytes("layout")).expect("a layout");
    Signed { content, signature: Signature(v.fixed("signature")) }
}

fn number(v: &Vector, field: &str) -> u64 {
    v.number(field).expect("a number")
}

fn index(v: &Vector, field: &str) -> PaywordIndex {
    PaywordIndex(v.small(field))
}

fn policy(v: &Vector) -> Policy {
    let suites = v.numbers("suites").into_iter().map(|n| if n == 1 { Suite::Md5 } else { Suite::Sha256 });
    Policy {
        suites: suites.collect(),
        max_unit_value: UnitValue(v.small("max_unit_value")),
        bound_only: v.flag("bound_only"),
        min_account_age_ms: number(v, "min_account_age_ms"),
        max_exposure_per_payer: Units(number(v, "max_exposure_per_payer_units")),
        max_exposure: Units(number(v, "max_exposure_units")),
        max_revocation_age_ms: number(v, "max_revocation_age_ms"),
        spend_margin_ms: number(v, "spend_margin_ms"),
    }
}

/// Everything that the payee of this vector keeps.
fn keep(tx: &Tx<'_>, v: &Vector) {
    let order = v.object("order");
    let in_order = InOrder {
        quote: signed(&order.object("quote")),
        asker: PeerId(order.fixed("asker")),
        paid: Units(number(&order, "paid_units")),
    };
    tx.add_in_order(&in_order).expect("kept");
    if v.flag("restored") {
        locking::mark_restored(tx).expect("marked");
    }
    if let Some(through_ms) = v.number("locked_through_ms") {
        tx.put_slot(Slot::LockedThrough, &through_ms.to_be_bytes()).expect("kept");
    }
    if v.is_null("held") {
        return;
    }
    let held = v.object("held");
    let touchstone: Signed<netpay_protocol::touchstone::Touchstone> = signed(&held.object("touchstone"));
    let (ecoin, high_word) = (touchstone.content.ecoin, Payword::unchecked(held.fixed("highest_word")));
    tx.put_till_ecoin(&TillEcoin { touchstone, high: index(&held, "highest"), high_word, unknown: false })
        .expect("kept");
    for claim in held.list("claims") {
        let grant = Grant {
            from: index(&claim, "from"),
            to: index(&claim, "to"),
            order: Digest(claim.fixed("order")),
            signature: Signature(claim.fixed("signature")),
        };
        tx.put_claim(&TillClaim {
            ecoin,
            settled: PaywordIndex(grant.from.0 - 1),
            grant,
            through: index(&claim, "through"),
            word: Payword::unchecked(claim.fixed("word")),
            conflicting: WordCount(claim.small("conflicting")),
            lost: claim.number("lost").map(|n| Verdict::ALL[usize::try_from(n - 1).expect("small")]),
            since_ms: 0,
            again: false,
        })
        .expect("kept");
    }
}

/// What the payee answers: the sum, or the problem's name.
fn answer(v: &Vector) -> Result<u64, String> {
    let Ok(pay) = wire::decode::<Pay>(&v.bytes("pay")) else { return Err("malformed".into()) };
    let broker = BrokerId(v.fixed("pinned"));
    let keys = (!v.is_null("keys")).then(|| wire::decode(&v.bytes("keys")).expect("a key list"));
    let keys = keys.map(|keys: netpay_protocol::key_list::SignedKeyList| keys.verify(broker).expect("good"));
    let revoked: Option<Signed<RevocationList>> =
        (!v.is_null("revoked")).then(|| wire::decode(&v.bytes("revoked")).expect("a list"));
    let policy = policy(&v.object("policy"));
    let payee = Payee {
        me: PeerId(v.fixed("me")),
        broker,
        keys: keys.as_ref(),
        revoked: revoked.as_ref().map(|list| &list.content),
        policy: &policy,
        now_ms: number(v, "now_ms"),
    };
    let store = Store::in_memory().expect("memory");
    store
        .write(|tx| {
            keep(tx, v);
            Ok::<_, crate::ports::StoreError>(())
        })
        .expect("kept");
    match store.write(|tx| accepting::accept(tx, &payee, PeerId(v.fixed("sender")), &pay)) {
        Ok(paid) => Ok(paid.paid.0),
        Err(Refused::Problem(problem)) => Err(problem.kind.name().into()),
        Err(Refused::Store(error)) => panic!("{}: {error}", v.name()),
    }
}

#[test]
fn every_payment_gets_the_answer_that_the_file_gives() {
    for v in vectors("accepting") {
        let told = v.number("paid_units").ok_or_else(|| v.text("problem").to_owned());
        assert_eq!(answer(&v), told, "check {}: {}", number(&v, "check"), v.name());
    }
}

#[test]
fn every_check_of_the_payees_has_a_vector() {
    let checks: std::collections::BTreeSet<_> = vectors("accepting").iter().map(|v| number(v, "check")).collect();
    assert_eq!(checks, (1..=27).collect());
}
