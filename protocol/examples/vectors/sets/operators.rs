//! What operators order and see.

use netpay_protocol::admin::{
    AccountView, DoubleSpendKey, DoubleSpendView, EcoinView, LedgerView, Order, Page, PaidRun,
};
use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units, WordCount};
use netpay_protocol::ids::Digest;
use netpay_protocol::index::Grant;
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::payout::{PayoutKey, PayoutState, PayoutView};
use netpay_protocol::query::OwnEcoin;
use netpay_protocol::redemption::Head;
use netpay_protocol::runs::Run;
use netpay_protocol::suite::Suite;

use super::fields::{head, signed};
use super::json::{Json, list, object};
use super::messages::vector;
use super::values::*;
use super::world::*;

fn order(why: &str, order: &Order, fields: Json) -> Json {
    vector("Order", order.op(), why, order, fields)
}

fn orders() -> Vec<Json> {
    let (alice, bob) = (peer(ALICE), peer(BOB));
    let payout = PayoutKey { peer: alice, request: request(0xbd) };
    let named = object! { "peer" => alice, "request" => request(0xbd) };
    let spend = DoubleSpendKey { ecoin: ECOIN, payee: bob };
    vec![
        order(
            "records a deposit",
            &credit(),
            object! {
                "order" => 1_u8, "peer" => alice, "amount" => 1_000_u16, "reference" => "bank 2026-1",
            },
        ),
        order(
            "suspends",
            &Order::Suspend { peer: alice, reason: "fraud".into() },
            object! {
                "order" => 2_u8, "peer" => alice, "reason" => "fraud",
            },
        ),
        order(
            "lifts a suspension",
            &Order::Reinstate { peer: alice, reason: "settled".into() },
            object! {
                "order" => 3_u8, "peer" => alice, "reason" => "settled",
            },
        ),
        order(
            "pays a debt",
            &Order::SettleDebt { debtor: alice, creditor: bob, ecoin: ECOIN },
            object! {
                "order" => 4_u8, "debtor" => alice, "creditor" => bob, "ecoin" => ECOIN,
            },
        ),
        order(
            "from the first: the absent field ends the list of fields",
            &Order::ListAccounts { after: None },
            object! {
                "order" => 5_u8, "after" => Json::Null,
            },
        ),
        order("after one", &Order::ListAccounts { after: Some(alice) }, object! { "order" => 5_u8, "after" => alice }),
        order("an account", &Order::ShowAccount { peer: alice }, object! { "order" => 6_u8, "peer" => alice }),
        order("an e-coin", &Order::ShowEcoin { ecoin: ECOIN }, object! { "order" => 7_u8, "ecoin" => ECOIN }),
        order(
            "from the first",
            &Order::ListDoubleSpends { after: None },
            object! {
                "order" => 8_u8, "after" => Json::Null,
            },
        ),
        order(
            "after one",
            &Order::ListDoubleSpends { after: Some(spend) },
            object! {
                "order" => 8_u8, "after" => object! { "ecoin" => ECOIN, "payee" => bob },
            },
        ),
        order(
            "from the first",
            &Order::ListPayouts { after: None },
            object! { "order" => 9_u8, "after" => Json::Null },
        ),
        order(
            "after one",
            &Order::ListPayouts { after: Some(payout) },
            object! {
                "order" => 9_u8, "after" => named.clone(),
            },
        ),
        order(
            "it was paid",
            &Order::SettlePayout { payout, reference: "wire 7".into() },
            object! {
                "order" => 10_u8, "payout" => named.clone(), "reference" => "wire 7",
            },
        ),
        order(
            "it cannot be paid",
            &Order::FailPayout { payout, reason: "no such account".into() },
            object! {
                "order" => 11_u8, "payout" => named, "reason" => "no such account",
            },
        ),
    ]
}

/// Later than the rest, and behind it: lines of the frozen page are added at the end.
fn later() -> Vec<Json> {
    let view = LedgerView { incarnation: 1, restored_from: None, clock_trusted: true, head: head_at(9) };
    let restored =
        LedgerView { incarnation: NOW, restored_from: Some(head_at(7)), clock_trusted: false, ..view.clone() };
    let told = |view: &LedgerView| {
        object! {
            "incarnation" => view.incarnation,
            "restored_from" => view.restored_from.map_or(Json::Null, head),
            "clock_trusted" => view.clock_trusted,
            "head" => head(view.head),
        }
    };
    vec![
        order(
            "a restored ledger is gone through",
            &Order::Reconcile { reason: "bank list".into() },
            object! { "order" => 12_u8, "reason" => "bank list" },
        ),
        order(
            "the clock is right",
            &Order::ConfirmClock { reason: "NTP".into() },
            object! { "order" => 13_u8, "reason" => "NTP" },
        ),
        order("a copy for a backup: no fields", &Order::Backup {}, object! { "order" => 14_u8 }),
        vector("LedgerView", "ledger view", "the absent backup is left out", &view, told(&view)),
        vector("LedgerView", "restored ledger view", "not reconciled, the clock in doubt", &restored, told(&restored)),
    ]
}

fn head_at(position: u64) -> Head {
    Head { position, hash: Digest([9; 32]) }
}

fn account(view: &AccountView) -> Json {
    object! {
        "peer" => view.peer,
        "balance" => view.balance,
        "debt" => view.debt,
        "opened_at_ms" => view.opened_at_ms,
        "suspended_at_ms" => view.suspended_at_ms,
        "last_redeem_until_ms" => view.last_redeem_until_ms,
        "head" => head(view.head),
    }
}

fn payout_view(name: &str, why: &str, state: PayoutState, told: Json) -> Json {
    let view = PayoutView {
        peer: peer(ALICE),
        request: request(0xbd),
        amount: Units(100),
        destination: "IBAN DE00 1234".into(),
        requested_at_ms: NOW,
        state,
        position: 9,
    };
    let fields = object! {
        "peer" => view.peer,
        "request" => view.request,
        "amount" => view.amount,
        "destination" => view.destination.as_str(),
        "requested_at_ms" => view.requested_at_ms,
        "state" => told,
        "position" => view.position,
    };
    vector("PayoutView", name, why, &view, fields)
}

fn views() -> Vec<Json> {
    let (alice, bob, carol) = (peer(ALICE), peer(BOB), peer(CAROL));
    let run = Run { from: PaywordIndex(1), through: PaywordIndex(5) };
    let paid = PaidRun { run, payee: bob, position: 5 };
    let told_run = object! { "run" => list([1_u8, 5]), "payee" => bob, "position" => 5_u8 };
    let ecoin = EcoinView {
        ecoin: ECOIN,
        payer: alice,
        suite: Suite::Sha256,
        n: PaywordIndex(50),
        unit_value: UnitValue(5),
        issued_at_ms: NOW,
        spend_until_ms: NOW + 30 * DAY_MS,
        redeem_until_ms: NOW + 60 * DAY_MS,
        paid: WordCount(5),
        expired_at_ms: None,
        position: 4,
        runs: vec![paid.clone()],
    };
    let (first, second) = (grant(1, 6, bob), grant(1, 6, carol));
    let told = |grant: &Grant| {
        object! { "from" => grant.from, "to" => grant.to, "order" => grant.order, "signature" => grant.signature }
    };
    let spend = DoubleSpendView {
        key: DoubleSpendKey { ecoin: ECOIN, payee: carol },
        payer: alice,
        paid_to: bob,
        paid_grant: Grant::from(&first),
        grant: Grant::from(&second),
        conflicting: WordCount(5),
        debt: Units(25),
        open_debt: Units(25),
        position: 6,
    };
    let own = OwnEcoin { touchstone: signed_touchstone(), paid: vec![paid] };
    let page = Page { items: vec![account_view()], more: true };
    vec![
        vector(
            "AccountView",
            "account view",
            "the absent suspension is left out",
            &account_view(),
            account(&account_view()),
        ),
        vector(
            "Page<AccountView>",
            "page of accounts",
            "more follow",
            &page,
            object! {
                "items" => list([account(&account_view())]), "more" => true,
            },
        ),
        vector(
            "EcoinView",
            "e-coin view",
            "five words were paid",
            &ecoin,
            object! {
                "ecoin" => ECOIN,
                "payer" => alice,
                "suite" => 2_u8,
                "n" => 50_u8,
                "unit_value" => 5_u8,
                "issued_at_ms" => ecoin.issued_at_ms,
                "spend_until_ms" => ecoin.spend_until_ms,
                "redeem_until_ms" => ecoin.redeem_until_ms,
                "paid" => 5_u8,
                "expired_at_ms" => Json::Null,
                "position" => 4_u8,
                "runs" => list([told_run.clone()]),
            },
        ),
        vector(
            "DoubleSpendView",
            "double spend view",
            "both grants of the same words",
            &spend,
            object! {
                "key" => object! { "ecoin" => ECOIN, "payee" => carol },
                "payer" => alice,
                "paid_to" => bob,
                "paid_grant" => told(&spend.paid_grant),
                "grant" => told(&spend.grant),
                "conflicting" => 5_u8,
                "debt" => 25_u8,
                "open_debt" => 25_u8,
                "position" => 6_u8,
            },
        ),
        vector(
            "OwnEcoin",
            "own e-coin",
            "one item of the answer to the e-coins question",
            &own,
            object! {
                "touchstone" => signed(&signed_touchstone()), "paid" => list([told_run]),
            },
        ),
        payout_view("payout requested", "state 1 has no fields", PayoutState::Requested, object! { "state" => 1_u8 }),
        payout_view(
            "payout settled",
            "state 2",
            PayoutState::Settled { reference: "wire 7".into(), at_ms: NOW + 1 },
            object! { "state" => 2_u8, "reference" => "wire 7", "at_ms" => NOW + 1 },
        ),
        payout_view(
            "payout failed",
            "state 3",
            PayoutState::Failed { reason: "no such account".into(), at_ms: NOW + 1 },
            object! { "state" => 3_u8, "reason" => "no such account", "at_ms" => NOW + 1 },
        ),
    ]
}

pub fn vectors() -> Vec<Json> {
    [orders(), views(), later()].concat()
}
