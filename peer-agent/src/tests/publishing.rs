//! Leaving a batch in the inbox: what is lost on the way back, what is left again, and what of it ever counts.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use netpay_protocol::messages::Redeem;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;

use crate::errands::{Errands, publishing};
use crate::ports::inbox::{Inbox, Left, NotLeft, Outbox as _, Published};
use crate::ports::{Batches as _, Till as _};
use crate::tests::broker::{NOW, TestBroker};
use crate::tests::trade::{Peer, chain_of, now, wait};
use crate::till::redeeming::Which;
use crate::wallet::purse::Mode::PerPayment;

/// An inbox that keeps a message once under each id.
#[derive(Default)]
struct TestInbox {
    kept: RefCell<BTreeMap<String, Vec<u8>>>,
    /// How many acknowledgements are lost from now on.
    lose: Cell<u32>,
    tries: Cell<u32>,
    refuse: RefCell<Option<NotLeft>>,
}

impl Inbox for TestInbox {
    async fn leave(&self, message: Vec<u8>, id: &str) -> Result<Left, NotLeft> {
        self.tries.set(self.tries.get() + 1);
        if let Some(why) = &*self.refuse.borrow() {
            return Err(why.clone());
        }
        let before = self.kept.borrow_mut().insert(id.to_owned(), message.clone());
        assert!(before.as_ref().is_none_or(|before| *before == message), "other bytes under the same id");
        match self.lose.get() {
            0 => Ok(Left { before: before.is_some() }),
            lose => {
                self.lose.set(lose - 1);
                Err(NotLeft::Silence("lost".into()))
            }
        }
    }
}

impl TestInbox {
    fn only(&self) -> Redeem {
        let kept = self.kept.borrow();
        assert_eq!(kept.len(), 1, "one message");
        wire::decode(kept.values().next().expect("one")).expect("a Redeem")
    }
}

/// Bob was paid five words.
fn scene() -> (TestBroker, Peer, Peer, TestInbox) {
    let (broker, alice, bob) = (TestBroker::new(), Peer::new(1), Peer::new(2));
    alice.buy(&broker, chain_of(200, Suite::Sha256));
    alice.pay(&broker, &bob, 5, PerPayment);
    (broker, alice, bob, TestInbox::default())
}

fn publish(bob: &Peer, broker: &TestBroker, inbox: &TestInbox) -> Result<Option<Left>, publishing::Error> {
    let errands = Errands { store: &bob.store, me: &bob.me, broker: broker.id(), line: inbox, now_ms: &now };
    Ok(wait(errands.publish(Which::Unsettled))?.map(|(_, left)| left))
}

fn published(bob: &Peer) -> Option<Published> {
    bob.store.read(|tx| tx.published()).expect("read")
}

#[test]
fn a_lost_acknowledgement_is_asked_for_again_with_the_same_bytes_under_the_same_id() {
    let (broker, _, bob, inbox) = scene();
    inbox.lose.set(2);
    assert_eq!(publish(&bob, &broker, &inbox).expect("at the third try"), Some(Left { before: true }));
    assert_eq!(inbox.tries.get(), 3);
    let left = inbox.only();
    let open = bob.store.read(|tx| tx.open_batch()).expect("read").expect("open");
    assert_eq!(left.batch, open);
    assert!(left.register.is_some(), "nobody is there to ask for it");
    assert_eq!(published(&bob), Some(Published { request: open.content.request, at_ms: NOW }));
}

#[test]
fn what_was_not_acknowledged_is_not_noted_as_left_and_the_next_command_leaves_the_same_batch() {
    let (broker, alice, bob, inbox) = scene();
    inbox.lose.set(4);
    let silent = publish(&bob, &broker, &inbox).expect_err("four tries");
    assert!(matches!(silent, publishing::Error::NotLeft(NotLeft::Silence(_))), "{silent}");
    assert_eq!(published(&bob), None);
    alice.pay(&broker, &bob, 2, PerPayment);
    assert_eq!(publish(&bob, &broker, &inbox).expect("now"), Some(Left { before: true }));
    assert_eq!(inbox.only().batch.content.claims[0].through.0, 5, "what came since waits for the next batch");
}

#[test]
fn a_full_inbox_and_none_are_answers_and_the_batch_stays_open() {
    for why in [NotLeft::Full("4 messages".into()), NotLeft::NoInbox, NotLeft::Refused("no".into())] {
        let (broker, _, bob, inbox) = scene();
        *inbox.refuse.borrow_mut() = Some(why.clone());
        let told = publish(&bob, &broker, &inbox).expect_err("not left");
        assert!(matches!(told, publishing::Error::NotLeft(told) if told == why));
        assert_eq!((inbox.tries.get(), published(&bob)), (1, None), "it is not asked again");
        assert!(bob.store.read(|tx| tx.open_batch()).expect("read").is_some());
    }
}

#[test]
fn only_a_statement_settles_what_was_left_and_it_settles_it_once() {
    let (broker, _, bob, inbox) = scene();
    let settled = || bob.store.read(|tx| tx.claims_after(0, true, 9)).expect("read")[0].1.settled.0;
    publish(&bob, &broker, &inbox).expect("left");
    assert_eq!(settled(), 0, "that it was left settles nothing");
    wait(bob.errands(&broker).refresh_lists()).expect("lists");
    let request = published(&bob).expect("left").request;
    assert!(wait(bob.errands(&broker).statement(request)).is_err(), "the broker has not come to it");
    assert_eq!(published(&bob).map(|left| left.request), Some(request), "and it is open still");
    broker.redeem(&inbox.only());
    wait(bob.errands(&broker).statement(request)).expect("the broker has it");
    assert_eq!((settled(), published(&bob)), (5, None));
    assert_eq!(publish(&bob, &broker, &inbox).expect("nothing"), None);
    assert_eq!(broker.balance(bob.id()), 5);
    inbox.only();
}

#[test]
fn a_batch_that_was_left_may_be_sent_as_well_and_is_paid_once() {
    let (broker, _, bob, inbox) = scene();
    publish(&bob, &broker, &inbox).expect("left");
    wait(bob.errands(&broker).refresh_lists()).expect("lists");
    let done = wait(bob.errands(&broker).redeem(Which::Unsettled)).expect("redeemed");
    assert_eq!(done.len(), 1);
    // The broker comes to it later.
    broker.redeem(&inbox.only());
    assert_eq!((broker.balance(bob.id()), published(&bob)), (5, None));
}
