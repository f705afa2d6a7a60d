//! The broker for tests, its second half: payouts, and the answers to questions.

use netpay_protocol::admin::{AccountView, Page};
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::Digest;
use netpay_protocol::layout::Layout as _;
use netpay_protocol::messages::{Ask, Rotate, Withdrawal};
use netpay_protocol::payout::{PayoutState, PayoutView};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::query::Question;
use netpay_protocol::redemption::Head;
use netpay_protocol::wire;

use crate::tests::broker::{NOW, TestBroker};

/// Payouts on one page.
const PAGE: usize = 2;

impl TestBroker {
    /// Debits once for each request; whoever asks is paid.
    pub fn pay_out(&self, withdrawal: &Withdrawal) -> Result<Vec<u8>, Problem> {
        let order = &withdrawal.payout.content;
        let mut payouts = self.payouts.borrow_mut();
        let view = payouts.entry(order.request).or_insert_with(|| PayoutView {
            peer: order.peer,
            request: order.request,
            amount: order.amount_units,
            destination: order.destination.clone(),
            requested_at_ms: NOW,
            state: PayoutState::Requested,
            position: 9,
        });
        Ok(self.signed(order.digest(), wire::encode(view)))
    }

    /// What was debited for payouts in all.
    pub fn paid_out(&self) -> u64 {
        self.payouts.borrow().values().map(|view| view.amount.0).sum()
    }

    /// A signed answer about something.
    pub fn signed(&self, about: Digest, body: Vec<u8>) -> Vec<u8> {
        wire::encode(&self.answer(about, body))
    }

    /// Takes other keys for an account, once for each order.
    pub fn rotate(&self, message: &Rotate) -> Result<Vec<u8>, Problem> {
        let order = &message.order.content;
        let mut accounts = self.accounts.borrow_mut();
        let account = accounts.get_mut(&order.peer).expect("opened in this test");
        if !account.requests.contains(&order.request) {
            let not_signed = |_| Problem::new(Kind::BadSignature, "another key");
            message.order.verify(&account.key).map_err(not_signed)?;
            message.order.check(&message.register).expect("good keys");
            if self.clock.get() > order.valid_until_ms {
                return Err(Problem::new(Kind::RequestExpired, "too late"));
            }
            account.requests.push(order.request);
            account.key = message.register.content.signing_key;
            account.given_up += 1;
        }
        Ok(wire::encode(&self.certificate(order.peer, account.key, account.given_up)))
    }

    /// Answers a question.
    pub fn answer_question(&self, ask: &Ask) -> Result<Vec<u8>, Problem> {
        let query = &ask.query.content;
        let body = match query.question {
            Question::Balance => wire::encode(&AccountView {
                peer: query.peer,
                balance: Units(self.balance(query.peer)),
                debt: Units::ZERO,
                opened_at_ms: Some(NOW),
                suspended_at_ms: None,
                last_redeem_until_ms: 0,
                head: Head::default(),
            }),
            Question::Payouts(after) => {
                let payouts = self.payouts.borrow();
                let mut items: Vec<PayoutView> =
                    payouts.values().filter(|view| view.request > after).cloned().collect();
                let more = items.len() > PAGE;
                items.truncate(PAGE);
                wire::encode(&Page { items, more })
            }
            Question::Statement(request) => {
                let none = || Problem::new(Kind::NotFound, "no statement is kept for this batch");
                return self.kept(request).ok_or_else(none);
            }
            Question::Certificate(peer) => {
                let accounts = self.accounts.borrow();
                let none = || Problem::new(Kind::NotFound, "no such account");
                let asker = accounts.get(&query.peer).ok_or_else(none)?;
                ask.query.verify(&asker.key).map_err(|_| Problem::new(Kind::BadSignature, "another key"))?;
                let account = accounts.get(&peer).ok_or_else(none)?;
                wire::encode(&self.certificate(peer, account.key, account.given_up))
            }
            Question::Ecoins(_) => return Err(Problem::new(Kind::Policy, "not in this test")),
        };
        Ok(self.signed(query.digest(), body))
    }
}
