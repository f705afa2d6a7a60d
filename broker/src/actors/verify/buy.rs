//! Selling e-coins: everything costly is done here, before the writer, and leaves only after the commit.

use std::sync::Arc;

use netpay_crash_point::broker::Point;
use netpay_ledger::command::{Action, Command, OpenAccount, Request};
use netpay_ledger::event::Event;
use netpay_ledger::record::Record;
use netpay_ledger::rejection::Rejection;
use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::buy::{BuyEcoins, SealedPaywords};
use netpay_protocol::chain::{ChainMaster, PaywordChain};
use netpay_protocol::ids::EcoinId;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::MAX_REQUEST_LIFE_MS;
use netpay_protocol::messages::{Buy, Sold};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::sealing::{LastWord, PublicSealingKey, Purchase};
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::Touchstone;
use rand_core::Rng as _;

use super::{Desk, Signer};
use crate::actors::ledger::{Order, Outcome};
use crate::actors::refusals::{again, check_broker, rejected};
use crate::keys::rng;
use crate::ports::{Reply, now_ms};

pub(super) fn serve(desk: &Arc<Desk>, message: Buy, reply: Reply) {
    match prepare(desk, message) {
        Err(problem) => reply.problem(problem),
        Ok(Prepared::SoldBefore(sold)) => reply.message(&*sold),
        Ok(Prepared::New(command, sealed)) => {
            Point::BuyChecked.reached();
            let answer = move |settled: crate::actors::ledger::Settled| {
                Point::BuyAnswering.reached();
                match settled.outcome {
                    Ok(Outcome::Recorded(record)) => match sealed.and_then(|sealed| sold(&record, *sealed)) {
                        Some(sold) => reply.message(&sold),
                        None => reply.problem(again()),
                    },
                    Ok(_) => reply.problem(again()),
                    Err(problem) => reply.problem(problem),
                }
            };
            desk.order(Order { command: *command, answer: Box::new(answer) });
        }
    }
}

enum Prepared {
    SoldBefore(Box<Sold>),
    New(Box<Command>, Option<Box<Signed<SealedPaywords>>>),
}

fn prepare(desk: &Desk, message: Buy) -> Result<Prepared, Problem> {
    let Buy { buy: order, register } = message;
    check_broker::<BuyEcoins>(order.content.broker, desk.broker())?;
    let request = Request { signer: order.content.payer, id: order.content.request, digest: order.content.digest() };
    let (signer, before) = desk.asked(&request, &order, register)?;
    if let Some(record) = before {
        return sold_before(desk, &record, &signer).map(|sold| Prepared::SoldBefore(Box::new(sold)));
    }
    if now_ms() > order.content.valid_until_ms {
        // That it was not carried out is for the writer to say: an earlier copy may be on its way to the log.
        let action = purchase(order, signer, vec![], desk.keys.master().0);
        return Ok(Prepared::New(Box::new(Command { request: Some(request), action }), None));
    }
    check_cheaply(desk, &order.content, &signer)?;
    let ids: Vec<_> = (0..order.content.count).map(|_| fresh_id()).collect();
    let (epoch, master) = desk.keys.master();
    let words: Vec<_> = ids.iter().map(|id| last_word(master, &order.content, *id)).collect();
    let touchstones = words.iter().map(|word| touchstone(desk, &order.content, &signer, *word)).collect();
    let sealed = seal(desk, &order.content, &signer, &words)?;
    let action = purchase(order, signer, touchstones, epoch);
    Ok(Prepared::New(Box::new(Command { request: Some(request), action }), Some(Box::new(sealed))))
}

fn purchase(order: Signed<BuyEcoins>, signer: Signer, touchstones: Vec<Signed<Touchstone>>, epoch: u32) -> Action {
    Action::BuyEcoins { opening: signer.opening, order: Box::new(order), signed_by: signer.key, touchstones, epoch }
}

/// What the writer will check again, looked at before chains are computed for nothing; and the broker's policy.
fn check_cheaply(desk: &Desk, buy: &BuyEcoins, signer: &Signer) -> Result<(), Problem> {
    if signer.account.suspended_at_ms.is_some() {
        return Err(rejected(&Rejection::Suspended));
    }
    if signer.account.debt.0 > 0 {
        return Err(rejected(&Rejection::InDebt { debt: signer.account.debt }));
    }
    if buy.valid_until_ms.saturating_sub(now_ms()) > MAX_REQUEST_LIFE_MS {
        return Err(rejected(&Rejection::ValidityTooLong));
    }
    let (cost, balance) = (buy.worth(), signer.account.balance);
    if cost > buy.most_debited_units {
        return Err(rejected(&Rejection::PriceAboveLimit { cost, most: buy.most_debited_units }));
    }
    if cost > balance {
        return Err(rejected(&Rejection::InsufficientFunds { cost, balance }));
    }
    let most = desk.policy.md5_most_units;
    let one = netpay_protocol::amounts::WordCount(buy.n.0).worth(buy.unit_value);
    if buy.suite == Suite::Md5 && one.0 > most {
        let text = format!("an md5 e-coin may be worth {most} units at most, this one is worth {one}; use sha256");
        return Err(Problem::new(Kind::Policy, text));
    }
    Ok(())
}

fn fresh_id() -> EcoinId {
    let mut id = EcoinId::default();
    rng().fill_bytes(&mut id.0);
    id
}

fn last_word(master: &ChainMaster, buy: &BuyEcoins, ecoin: EcoinId) -> LastWord {
    (ecoin, master.last_word(buy.suite, &ecoin, buy.n))
}

fn touchstone(desk: &Desk, buy: &BuyEcoins, signer: &Signer, (ecoin, last): LastWord) -> Signed<Touchstone> {
    let root = PaywordChain::below(buy.suite, &ecoin, PaywordIndex(buy.n.0), last).root();
    let issued_at_ms = now_ms();
    let opened = signer.account.opened.as_ref().map(|opened| opened.at_ms);
    let opened = opened.or_else(|| signer.opening.as_ref().map(OpenAccount::opened_at_ms));
    let spend_until_ms = issued_at_ms + desk.policy.spend_ms;
    desk.keys.sign_sale(Touchstone {
        broker: desk.broker(),
        kid: desk.keys.touchstone_kid(),
        ecoin,
        suite: buy.suite,
        root,
        n: buy.n,
        unit_value: buy.unit_value,
        payer: buy.payer,
        payer_key: signer.key,
        payer_opened_at_ms: opened.unwrap_or(issued_at_ms),
        issued_at_ms,
        spend_until_ms,
        redeem_until_ms: spend_until_ms + desk.policy.redeem_ms,
        guarantee: buy.guarantee,
        incarnation: desk.incarnation,
    })
}

fn seal(desk: &Desk, buy: &BuyEcoins, signer: &Signer, words: &[LastWord]) -> Result<Signed<SealedPaywords>, Problem> {
    let key = PublicSealingKey::from_der(&signer.register.content.sealing_key)
        .map_err(|why| Problem::new(Kind::BadSignature, why.to_string()))?;
    let purchase = Purchase { broker: buy.broker, payer: buy.payer, request: buy.request };
    Ok(desk.keys.sign_sale(key.seal(desk.keys.touchstone_kid(), purchase, words, &mut rng())))
}

/// The lost reply: the same e-coins again, their words derived from the master key and sealed anew, to the present sealing
/// key: one that was given up may be lost.
fn sold_before(desk: &Desk, record: &Record, signer: &Signer) -> Result<Sold, Problem> {
    let issued = record.events.iter().find_map(|event| match event {
        Event::EcoinsIssued { order, touchstones, epoch } => Some((order, touchstones, *epoch)),
        _ => None,
    });
    let (order, touchstones, epoch) = issued.ok_or_else(|| rejected(&Rejection::RequestIdReused))?;
    let master = desk.keys.master_of(epoch).ok_or_else(|| {
        let text = format!("the chain master key of epoch {epoch} is not here; its operator has to bring it back");
        Problem::new(Kind::Unavailable, text)
    })?;
    let words: Vec<_> = touchstones.iter().map(|t| last_word(master, &order.content, t.content.ecoin)).collect();
    let sealed = seal(desk, &order.content, signer, &words)?;
    Ok(Sold { sealed, touchstones: touchstones.clone(), position: record.position })
}

fn sold(record: &Record, sealed: Signed<SealedPaywords>) -> Option<Sold> {
    record.events.iter().find_map(|event| match event {
        Event::EcoinsIssued { touchstones, .. } => {
            Some(Sold { sealed: sealed.clone(), touchstones: touchstones.clone(), position: record.position })
        }
        _ => None,
    })
}
