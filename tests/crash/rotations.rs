//! Peers that change their keys: what was bought under an earlier one is still granted with that, and nothing else is.

use netpay_protocol::certificate::Certificate;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::Rotate;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::redemption::Verdict;
use netpay_protocol::subjects::{self, BrokerOp};
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;
use netpay_tests::campaign::Dice;
use netpay_tests::raw_peer::{Coin, RawPeer};

use crate::clients::{Clients, rejected};
use crate::load::WORDS;

/// A peer that rotates, with an e-coin that it bought under its present key.
pub type Rotating = (RawPeer, Coin);
/// Rotations of one account, at most.
const MOST: usize = 16;
/// Enough for an e-coin under every key.
const FUNDS: u64 = 1_000;

impl Clients {
    /// Another key for somebody who rotated before, or for a newcomer.
    pub async fn a_rotation(&self, dice: &mut Dice) {
        let taken = if dice.below(4) == 0 { None } else { self.held().rotating.pop() };
        let (old, coin) = match taken {
            Some(rotating) => rotating,
            None => self.a_newcomer().await,
        };
        let new = old.with_another_key();
        let rotation = old.rotation(new.register());
        self.rotate(&old, &new, &rotation).await;
        // The same bytes once more: it rotated already, and has the keys that it has.
        self.rotate(&old, &new, &rotation).await;
        rejected(self.buy(&old, &old.order(1, 1, Suite::Sha256)).await, Kind::BadSignature);
        self.both_grant(dice, (&old, &new), &coin).await;
        let coin = self.buy(&new, &new.order(WORDS, 1, Suite::Sha256)).await.expect("there is money").remove(0);
        assert_eq!(coin.touchstone.content.payer_key, new.key.public());
        let mut held = self.held();
        if held.books.keys[&new.id()].len() <= MOST {
            held.rotating.push((new, coin));
        }
    }

    /// An account that has bought something.
    async fn a_newcomer(&self) -> Rotating {
        let peer = self.peers[0].puppet();
        self.credit(peer.id(), FUNDS, format!("for {}", peer.id())).await;
        let coin = self.buy(&peer, &peer.order(WORDS, 1, Suite::Sha256)).await.expect("there is money").remove(0);
        (peer, coin)
    }

    async fn rotate(&self, old: &RawPeer, new: &RawPeer, rotation: &Rotate) {
        let (request, digest) = (rotation.order.content.request, rotation.order.content.digest());
        let subject = subjects::request(old.id(), BrokerOp::Rotate);
        let answer: Result<_, Problem> = self.post.settle(old, &subject, request, &wire::encode(rotation)).await;
        let certificate: Signed<Certificate> = wire::decode(&answer.expect("a good order")).expect("a certificate");
        let books = &mut self.held().books;
        books.requests.insert((old.id(), request), digest);
        let keys = books.keys.entry(old.id()).or_insert_with(|| vec![old.key.public()]);
        if keys.last() != Some(&new.key.public()) {
            keys.push(new.key.public());
        }
        let told = certificate.content;
        assert_eq!((told.peer, told.signing_key), (old.id(), new.key.public()));
        assert_eq!(usize::try_from(told.given_up), Ok(keys.len() - 1));
    }

    /// The key in the touchstone grants, and no other.
    async fn both_grant(&self, dice: &mut Dice, (old, new): (&RawPeer, &RawPeer), coin: &Coin) {
        let payee = dice.place(self.peers.len());
        let words = dice.small(1, WORDS - 1);
        let claim = |by: &RawPeer, (from, through)| {
            RawPeer::claim(coin, &by.grant(coin, (from, through + 1), self.peers[payee].id()), through)
        };
        let batch = self.peers[payee].batch(vec![claim(old, (1, words)), claim(new, (words + 1, WORDS))]);
        let statement = self.redeem(payee, batch).await;
        let verdicts: Vec<_> = statement.lines.iter().map(|line| line.verdict).collect();
        assert_eq!(verdicts, [Verdict::Credited, Verdict::Unauthorised]);
    }
}
