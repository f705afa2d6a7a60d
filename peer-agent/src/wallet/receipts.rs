//! The payee's signed word on what was paid towards an order: checked, and kept with it.
//!
//! A receipt moves no money and frees nothing. It is kept also when it says less than was paid: it is the payee's word.

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::PeerId;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::quote::Receipt;

use crate::ports::{Entry, History, OutOrder, OutOrders, Reference, Stored};

/// Whether a receipt is the payee's, for this order and payer. `None` when it is; otherwise what is wrong.
pub fn wrong_with(receipt: &Signed<Receipt>, order: &OutOrder, me: PeerId) -> Option<&'static str> {
    let (said, quote) = (&receipt.content, &order.quote.content);
    if receipt.verify(&order.payee_key).is_err() {
        return Some("the receipt is not signed by the supplier");
    }
    if said.broker != quote.broker {
        return Some("the receipt is in another broker's money");
    }
    if said.payee != quote.payee || said.payer != me {
        return Some("the receipt is another payer's or payee's");
    }
    (said.order != quote.digest()).then_some("the receipt is for another order")
}

/// Keeps a receipt that was checked. Answers what it lacks of what was paid.
pub fn keep(
    store: &(impl OutOrders + History),
    receipt: &Signed<Receipt>,
    order: &OutOrder,
    now_ms: u64,
) -> Stored<Units> {
    let lacks = order.paid.saturating_sub(receipt.content.paid_units);
    store.put_receipt(receipt)?;
    let lacking = if lacks > Units::ZERO { format!(", {lacks} fewer than were paid") } else { String::new() };
    store.note(Entry {
        at_ms: now_ms,
        what: "receipt".into(),
        with: Some(receipt.content.payee),
        ecoin: None,
        // Nothing moves.
        units: Units::ZERO,
        reference: Some(Reference::Order(receipt.content.order)),
        note: format!("for {} units{lacking}, content {}", receipt.content.paid_units, order.quote.content.content),
    })?;
    Ok(lacks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Wanted;
    use crate::tests::broker::{NOW, TestBroker};
    use crate::tests::trade::{Peer, chain_of};
    use crate::wallet::purse::Mode;
    use netpay_protocol::ids::{BrokerId, Digest};
    use netpay_protocol::suite::Suite;

    fn scene() -> (Peer, Peer, OutOrder, Receipt) {
        let (broker, alice, bob) = (TestBroker::new(), Peer::new(1), Peer::new(2));
        alice.buy(&broker, chain_of(20, Suite::Sha256));
        let order = bob.quote(&broker, &alice, 5);
        let pay = alice.grant(order, 5, Mode::Session).expect("enough").expect("due");
        alice.acknowledged(order, &pay, 5).expect("as sent");
        let held = alice.store.read(|tx| tx.out_order(order)).expect("read").expect("kept");
        let receipt = Receipt {
            broker: broker.id(),
            payee: bob.id(),
            payer: alice.id(),
            order,
            paid_units: Units(5),
            issued_at_ms: NOW,
        };
        (alice, bob, held, receipt)
    }

    #[test]
    fn a_receipt_is_the_payees_for_this_order_payer_and_broker() {
        let (alice, bob, order, receipt) = scene();
        let signed = Signed::new(receipt.clone(), &bob.me.signing);
        assert_eq!(wrong_with(&signed, &order, alice.id()), None);
        assert!(wrong_with(&Signed::new(receipt.clone(), &alice.me.signing), &order, alice.id()).is_some());
        for wrong in [
            Receipt { broker: BrokerId([9; 16]), ..receipt.clone() },
            Receipt { payee: PeerId([9; 16]), ..receipt.clone() },
            Receipt { payer: PeerId([9; 16]), ..receipt.clone() },
            Receipt { order: Digest([9; 32]), ..receipt },
        ] {
            let signed = Signed::new(wrong.clone(), &bob.me.signing);
            assert!(wrong_with(&signed, &order, alice.id()).is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn a_receipt_is_kept_with_its_order_and_what_it_lacks_is_told() {
        let (alice, bob, order, receipt) = scene();
        for (units, lacks) in [(4, 1), (5, 0), (6, 0)] {
            let signed = Signed::new(Receipt { paid_units: Units(units), ..receipt.clone() }, &bob.me.signing);
            let lacking = alice.store.write(|tx| keep(tx, &signed, &order, NOW)).expect("kept");
            assert_eq!(lacking, Units(lacks));
            let kept = alice.store.read(|tx| tx.receipt(receipt.order)).expect("read");
            assert_eq!(kept, Some(signed));
            let noted =
                alice.store.read(|tx| tx.history(&Wanted { limit: 1, ..Wanted::default() })).expect("read").remove(0);
            assert_eq!((noted.what.as_str(), noted.note.contains("fewer")), ("receipt", lacks > 0));
        }
    }
}
