//! Events as JSON: amounts end in `_units`, times in `_ms`, ids and bytes are lower-case hex, what was signed is its
//! `content` and its `signature`. Words in here are spent, and worth nothing.

use netpay_ledger::Event;
use netpay_ledger::command::DebtKey;
use netpay_ledger::event::{Cause, DoubleSpend, RedeemedClaim, SettledClaim};
use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::ids::to_hex;
use netpay_protocol::key_list::{ListedKey, Purpose, SignedKeyList};
use netpay_protocol::keys::Signature;
use netpay_protocol::layout::Signed;
use netpay_protocol::payout::{PayoutKey, RequestPayout};
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::runs::Run;
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;
use serde_json::{Value, json};

use super::super::views::grant;

/// The event's own fields.
pub(in crate::cli) fn event(event: &Event) -> Value {
    match event {
        Event::AccountOpened { peer, register: signed, opened_at_ms } => json!({
            "peer": peer.to_string(),
            "register": register(signed),
            "opened_at_ms": opened_at_ms,
        }),
        Event::FundsCredited { peer, amount, reference, order } => json!({
            "peer": peer.to_string(),
            "amount_units": amount.0,
            "reference": reference,
            "order": admin(order),
        }),
        Event::EcoinsIssued { order, touchstones, epoch } => json!({
            "order": purchase(order),
            "touchstones": touchstones.iter().map(touchstone).collect::<Vec<_>>(),
            "epoch": epoch,
            "worth_units": order.content.worth().0,
        }),
        Event::BatchRedeemed { payee, claims } => json!({
            "payee": payee.to_string(),
            "claims": claims.iter().map(claim).collect::<Vec<_>>(),
        }),
        Event::DoubleSpendDetected(found) => double_spend(found),
        Event::AccountSuspended { peer, cause } => {
            let (cause, ecoin, order) = match cause {
                Cause::DoubleSpend(ecoin) => ("double_spend", Some(ecoin.to_string()), None),
                Cause::Operator(order) => ("operator", None, Some(admin(order))),
            };
            json!({ "peer": peer.to_string(), "cause": cause, "ecoin": ecoin, "order": order })
        }
        Event::AccountReinstated { peer, order } => json!({ "peer": peer.to_string(), "order": admin(order) }),
        Event::DebtSettled { debt: key, amount, order } => json!({
            "debt": debt(key),
            "amount_units": amount.0,
            "order": admin(order),
        }),
        Event::EcoinExpired { ecoin, payer, words, refund } => json!({
            "ecoin": ecoin.to_string(),
            "payer": payer.to_string(),
            "words": words.0,
            "refund_units": refund.0,
        }),
        Event::PayoutRequested { order } => json!({ "order": payout_order(order) }),
        Event::PayoutSettled { payout: key, reference, order } => json!({
            "payout": payout(key),
            "reference": reference,
            "order": admin(order),
        }),
        Event::PayoutFailed { payout: key, amount, reason, order } => json!({
            "payout": payout(key),
            "amount_units": amount.0,
            "reason": reason,
            "order": admin(order),
        }),
        Event::EcoinRestored { touchstone: sold, epoch, debited, lent } => json!({
            "touchstone": touchstone(sold),
            "epoch": epoch,
            "debited_units": debited.0,
            "lent_units": lent.0,
        }),
        Event::PeerKeysRotated { order, register: new } => {
            json!({ "order": rotation(order), "register": register(new) })
        }
        Event::BrokerKeysRotated { list } => json!({ "root": list.root.to_string(), "list": key_list(list) }),
        Event::LedgerRestored { incarnation, head, head_at_ms } => json!({
            "incarnation": incarnation,
            "head_position": head.position,
            "head": head.hash.to_string(),
            "head_at_ms": head_at_ms,
        }),
        Event::LedgerReconciled { order } | Event::ClockConfirmed { order } => json!({ "order": admin(order) }),
        Event::ClockDoubted {} => json!({}),
    }
}

/// The operator's order behind an event, if there is one.
pub(super) fn operators_order(event: &Event) -> Option<&Signed<Admin>> {
    match event {
        Event::FundsCredited { order, .. }
        | Event::AccountSuspended { cause: Cause::Operator(order), .. }
        | Event::AccountReinstated { order, .. }
        | Event::DebtSettled { order, .. }
        | Event::PayoutSettled { order, .. }
        | Event::PayoutFailed { order, .. }
        | Event::LedgerReconciled { order }
        | Event::ClockConfirmed { order } => Some(order),
        Event::AccountOpened { .. }
        | Event::EcoinsIssued { .. }
        | Event::BatchRedeemed { .. }
        | Event::DoubleSpendDetected(_)
        | Event::AccountSuspended { cause: Cause::DoubleSpend(_), .. }
        | Event::EcoinExpired { .. }
        | Event::PayoutRequested { .. }
        | Event::EcoinRestored { .. }
        | Event::PeerKeysRotated { .. }
        | Event::BrokerKeysRotated { .. }
        | Event::LedgerRestored { .. }
        | Event::ClockDoubted {} => None,
    }
}

fn signed(content: Value, signature: &Signature) -> Value {
    json!({ "content": content, "signature": to_hex(&signature.0) })
}

fn register(register: &Signed<Register>) -> Value {
    let Register { broker, signing_key, sealing_key, nkey } = &register.content;
    let content = json!({
        "broker": broker.to_string(),
        "signing_key": signing_key.to_string(),
        "sealing_key": to_hex(sealing_key),
        "nkey": nkey.to_string(),
    });
    signed(content, &register.signature)
}

/// The order inside is decoded; what cannot be (no version wrote it) is shown as it is.
fn admin(admin: &Signed<Admin>) -> Value {
    let Admin { broker, kid, request, valid_until_ms, order: bytes } = &admin.content;
    let order =
        wire::decode::<Order>(bytes).map_or_else(|_| json!({ "op": null, "cbor": to_hex(bytes) }), |o| order(&o));
    let content = json!({
        "broker": broker.to_string(),
        "kid": kid.to_string(),
        "request": request.to_string(),
        "valid_until_ms": valid_until_ms,
        "order": order,
    });
    signed(content, &admin.signature)
}

/// Those that change something; the others leave nothing in the log.
fn order(order: &Order) -> Value {
    let mut json = match order {
        Order::Credit { peer, amount, reference } => {
            json!({ "peer": peer.to_string(), "amount_units": amount.0, "reference": reference })
        }
        Order::Suspend { peer, reason } | Order::Reinstate { peer, reason } => {
            json!({ "peer": peer.to_string(), "reason": reason })
        }
        Order::SettleDebt { debtor, creditor, ecoin } => {
            debt(&DebtKey { debtor: *debtor, creditor: *creditor, ecoin: *ecoin })
        }
        Order::SettlePayout { payout: key, reference } => json!({ "payout": payout(key), "reference": reference }),
        Order::FailPayout { payout: key, reason } => json!({ "payout": payout(key), "reason": reason }),
        Order::Reconcile { reason } | Order::ConfirmClock { reason } => json!({ "reason": reason }),
        Order::ListAccounts { .. }
        | Order::ShowAccount { .. }
        | Order::ShowEcoin { .. }
        | Order::ListDoubleSpends { .. }
        | Order::ListPayouts { .. }
        | Order::Backup {} => json!({}),
    };
    if let Some(object) = json.as_object_mut() {
        object.insert("op".into(), order.op().into());
    }
    json
}

fn rotation(order: &Signed<RotateKeys>) -> Value {
    let r = &order.content;
    let content = json!({
        "broker": r.broker.to_string(),
        "peer": r.peer.to_string(),
        "request": r.request.to_string(),
        "valid_until_ms": r.valid_until_ms,
        "register": r.register.to_string(),
    });
    signed(content, &order.signature)
}

fn key_list(list: &SignedKeyList) -> Value {
    let l = &list.list.content;
    let key = |key: &ListedKey| {
        json!({
            "kid": key.kid.to_string(),
            "key": key.key.to_string(),
            "purpose": purpose(key.purpose),
            "not_before_ms": key.not_before_ms,
            "not_after_ms": key.not_after_ms,
            "revoked_at_ms": key.revoked_at_ms,
        })
    };
    let content = json!({
        "broker": l.broker.to_string(),
        "incarnation": l.incarnation,
        "seq": l.seq,
        "issued_at_ms": l.issued_at_ms,
        "next_at_ms": l.next_at_ms,
        "keys": l.keys.iter().map(key).collect::<Vec<_>>(),
    });
    signed(content, &list.list.signature)
}

fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Touchstone => "touchstone",
        Purpose::Statement => "statement",
        Purpose::Notice => "notice",
    }
}

fn purchase(order: &Signed<BuyEcoins>) -> Value {
    let b = &order.content;
    let content = json!({
        "broker": b.broker.to_string(),
        "payer": b.payer.to_string(),
        "request": b.request.to_string(),
        "valid_until_ms": b.valid_until_ms,
        "count": b.count,
        "n": b.n.0,
        "suite": b.suite.to_string(),
        "unit_value_units": b.unit_value.0,
        "most_debited_units": b.most_debited_units.0,
        "bound_to": bound_to(b.guarantee),
    });
    signed(content, &order.signature)
}

/// The payee to whom an e-coin is bound; null: to anybody.
fn bound_to(guarantee: Guarantee) -> Option<String> {
    match guarantee {
        Guarantee::Bearer => None,
        Guarantee::Bound(payee) => Some(payee.to_string()),
    }
}

fn touchstone(touchstone: &Signed<Touchstone>) -> Value {
    let t = &touchstone.content;
    let content = json!({
        "broker": t.broker.to_string(),
        "kid": t.kid.to_string(),
        "ecoin": t.ecoin.to_string(),
        "suite": t.suite.to_string(),
        "root": t.suite.show(&t.root),
        "n": t.n.0,
        "unit_value_units": t.unit_value.0,
        "payer": t.payer.to_string(),
        "payer_key": t.payer_key.to_string(),
        "payer_opened_at_ms": t.payer_opened_at_ms,
        "issued_at_ms": t.issued_at_ms,
        "spend_until_ms": t.spend_until_ms,
        "redeem_until_ms": t.redeem_until_ms,
        "bound_to": bound_to(t.guarantee),
        "incarnation": t.incarnation,
    });
    signed(content, &touchstone.signature)
}

fn claim(claim: &RedeemedClaim) -> Value {
    let line = claim.line();
    match claim {
        RedeemedClaim::Refused(verdict) => json!({ "verdict": verdict.name() }),
        RedeemedClaim::Settled(settled) => {
            let SettledClaim { ecoin, grant: under, through, word, credited, credited_units, .. } = &**settled;
            let runs: Vec<_> = credited.iter().map(|Run { from, through }| json!([from.0, through.0])).collect();
            json!({
                "verdict": line.verdict.name(),
                "ecoin": ecoin.to_string(),
                "grant": grant(under),
                "through": through.0,
                "word": to_hex(word.bytes()),
                "credited_runs": runs,
                "credited_words": line.credited.0,
                "credited_units": credited_units.0,
                "already_paid_words": line.already_paid.0,
                "conflicting_words": line.conflicting.0,
            })
        }
    }
}

fn double_spend(found: &DoubleSpend) -> Value {
    json!({
        "touchstone": touchstone(&found.touchstone),
        "paid_to": found.paid_to.to_string(),
        "paid_grant": grant(&found.paid_grant),
        "payee": found.payee.to_string(),
        "grant": grant(&found.grant),
        "conflicting_words": found.conflicting.0,
        "debt_units": found.debt.0,
    })
}

fn debt(debt: &DebtKey) -> Value {
    json!({
        "debtor": debt.debtor.to_string(),
        "creditor": debt.creditor.to_string(),
        "ecoin": debt.ecoin.to_string(),
    })
}

fn payout(payout: &PayoutKey) -> Value {
    json!({ "peer": payout.peer.to_string(), "request": payout.request.to_string() })
}

fn payout_order(order: &Signed<RequestPayout>) -> Value {
    let p = &order.content;
    let content = json!({
        "broker": p.broker.to_string(),
        "peer": p.peer.to_string(),
        "request": p.request.to_string(),
        "valid_until_ms": p.valid_until_ms,
        "amount_units": p.amount_units.0,
        "destination": p.destination,
    });
    signed(content, &order.signature)
}
