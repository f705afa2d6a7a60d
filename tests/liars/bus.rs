//! Somebody on the bus who is not the broker, and answers in its place while it is away: an agent believes signatures
//! only, of the broker that it pinned, and says so when there is none.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use netpay_protocol::admin::AccountView;
use netpay_protocol::amounts::{Units, WordCount};
use netpay_protocol::ids::{Digest, Kid, PeerId};
use netpay_protocol::key_list::SignedKeyList;
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::{Ask, Redeem};
use netpay_protocol::query::{Answer, Query, Question};
use netpay_protocol::redemption::{Head, Line, Statement, Verdict};
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::subjects::{self, BrokerOp};
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::Guarantee;
use netpay_protocol::wire;
use netpay_tests::forger::Forger;
use netpay_tests::impostor::Impostor;
use netpay_tests::processes::{Ended, PATIENCE};
use netpay_tests::raw_peer::{RawPeer, now_ms};
use netpay_tests::shop::{Shop, raw_peer};
use netpay_tests::town::Town;

use crate::payers::{is_refused, paid, quote};

/// A town with a shop that was paid ten words, and what the broker said before it went away.
struct Given {
    shop: Shop,
    client: Client,
    forger: Forger,
    payer: RawPeer,
    coin: netpay_tests::raw_peer::Coin,
    keys: SignedKeyList,
    revoked: Signed<RevocationList>,
}

impl Given {
    async fn new() -> Self {
        let shop = Shop::open(Arc::new(Town::without_index()), "");
        let (payer, coin) = shop.payer(50).await;
        assert_eq!(paid(payer.pay(&coin, (1, 11), &quote(&shop, &payer).await).await), 10);
        let keys = wire::decode(&payer.ask(BrokerOp::Keys, vec![]).await.expect("a list")).expect("a list");
        let revoked = wire::decode(&payer.ask(BrokerOp::Notices, vec![]).await.expect("a list")).expect("a list");
        let forger = Forger::of(&shop.town.world);
        Self { client: payer.client.clone(), shop, forger, payer, coin, keys, revoked }
    }

    fn town(&mut self) -> &mut Town {
        Arc::get_mut(&mut self.shop.town).expect("nobody else's")
    }

    fn stop_broker(&mut self) {
        assert_eq!(self.town().broker.take().expect("it serves").terminate(), Some(0));
    }

    fn start_broker(&mut self) {
        self.town().broker = Some(self.shop.town.world.serve_broker());
    }

    /// Answers in the broker's place.
    async fn lies(&self, with: Impostor, op: BrokerOp, lie: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> Impostor {
        with.answer(&self.client, subjects::request(self.shop.id, op), lie).await
    }

    /// An impostor that hands out these lists.
    async fn with_lists(&self, keys: &SignedKeyList, revoked: &Signed<RevocationList>) -> Impostor {
        let (keys, revoked) = (wire::encode(keys), wire::encode(revoked));
        let with_keys = self.lies(Impostor::default(), BrokerOp::Keys, move |_| keys.clone()).await;
        self.lies(with_keys, BrokerOp::Notices, move |_| revoked.clone()).await
    }

    /// An impostor that hands out the broker's own lists: with those it has nothing to do.
    async fn with_true_lists(&self) -> Impostor {
        self.with_lists(&self.keys, &self.revoked).await
    }

    /// Waits until the broker's revocation list names the payer: it is made anew now and then.
    async fn waits_for_the_list_to_say_so(&self) {
        let told = async {
            loop {
                let list = self.payer.ask(BrokerOp::Notices, vec![]).await.expect("a list");
                let list: Signed<RevocationList> = wire::decode(&list).expect("a list");
                if list.content.contains(self.payer.id()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, told).await.expect("the list names whoever is suspended");
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.shop.town.run(&self.shop.name, arguments)
    }

    /// The broker is back, and pays once what the till held all the time.
    fn ends_well(mut self) {
        self.start_broker();
        self.shop.redeems_what_was_given(&self.coin, 10);
    }
}

fn is_told(ended: &Ended, words: &str) {
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(ended.errors.contains(words), "{:?} instead of {words:?}", ended.errors);
}

fn rogue() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

/// A million for this account.
fn rich(peer: PeerId) -> Vec<u8> {
    wire::encode(&AccountView {
        peer,
        balance: Units(1_000_000),
        debt: Units::ZERO,
        opened_at_ms: Some(1),
        suspended_at_ms: None,
        last_redeem_until_ms: 1,
        head: Head::default(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_that_the_broker_did_not_sign_or_about_something_else_is_not_believed() {
    let mut given = Given::new().await;
    given.stop_broker();
    let (me, broker) = (given.shop.id, given.payer.broker);
    let genuine = |given: &Given| given.forger.key("statement");
    let answer = move |key: &SigningKey, about: Digest, named: Kid, of: PeerId| {
        let answer = Answer { broker, kid: named, about, issued_at_ms: now_ms(), body: rich(of) };
        wire::encode(&Signed::new(answer, key))
    };
    let asked = |message: &[u8]| wire::decode::<Ask>(message).expect("a question").query.content.digest();
    let (key, kid) = (genuine(&given), Kid::of(&genuine(&given).public()));
    let other_question =
        Query { broker, peer: me, valid_until_ms: now_ms(), min_position: 0, question: Question::Balance };
    let notice = given.forger.key("notice");
    let wrong = "the answer is not the pinned broker's, or to another question";
    type Forgery = Box<dyn Fn(&[u8]) -> Vec<u8> + Send>;
    let cases: [(Forgery, &str); 5] = [
        (Box::new(move |m| answer(&rogue(), asked(m), kid, me)), wrong),
        (Box::new(move |m| answer(&rogue(), asked(m), Kid::of(&rogue().public()), me)), wrong),
        (Box::new(move |m| answer(&notice, asked(m), Kid::of(&notice.public()), me)), wrong),
        (
            Box::new({
                let key = genuine(&given);
                move |_| answer(&key, other_question.digest(), kid, me)
            }),
            wrong,
        ),
        (Box::new(move |m| answer(&key, asked(m), kid, PeerId([9; 16]))), "the answer is about another account"),
    ];
    for (lie, words) in cases {
        let lists = given.with_true_lists().await;
        let _impostor = given.lies(lists, BrokerOp::Balance, lie).await;
        is_told(&given.run(&["balance"]), words);
    }
    given.ends_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_the_broker_did_not_sign_or_for_another_batch_settles_nothing() {
    let mut given = Given::new().await;
    given.stop_broker();
    let broker = given.payer.broker;
    let statement = move |key: SigningKey, kid: Kid, change: fn(&mut Statement)| {
        move |message: &[u8]| {
            let batch = wire::decode::<Redeem>(message).expect("a batch").batch.content;
            let line = Line {
                verdict: Verdict::AlreadyPaid,
                credited: WordCount(0),
                already_paid: WordCount(10),
                conflicting: WordCount(0),
            };
            let mut statement = Statement {
                broker,
                kid,
                incarnation: 1,
                payee: batch.payee,
                request: batch.request,
                batch: batch.digest(),
                issued_at_ms: now_ms(),
                lines: vec![line],
                balance_units: Units(0),
                head: Head::default(),
            };
            change(&mut statement);
            wire::encode(&Signed::new(statement, &key))
        }
    };
    let genuine = || given.forger.key("statement");
    let kid = Kid::of(&genuine().public());
    let (unsigned, another) =
        ("the statement is not signed by the pinned broker", "for another payee, batch or broker");
    for (lie, words) in [
        (statement(rogue(), kid, |_| ()), unsigned),
        (statement(rogue(), Kid::of(&rogue().public()), |_| ()), unsigned),
        (statement(genuine(), kid, |s| s.payee = PeerId([9; 16])), another),
        (statement(genuine(), kid, |s| s.batch.0[0] ^= 1), another),
        (statement(genuine(), kid, |s| s.request.0[0] ^= 1), another),
        (statement(genuine(), kid, |s| s.lines.clear()), "one line per claim"),
        (statement(genuine(), kid, |s| s.lines[0].already_paid = WordCount(9)), "sum"),
    ] {
        let lists = given.with_true_lists().await;
        let _impostor = given.lies(lists, BrokerOp::Redeem, lie).await;
        is_told(&given.run(&["redeem"]), words);
        assert_eq!(given.run(&["wallet", "show"]).json["till_units"], 10, "nothing is settled");
    }
    given.ends_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_the_broker_did_not_sign_are_not_taken_and_payments_go_on() {
    let mut given = Given::new().await;
    given.stop_broker();
    let key_list =
        SignedKeyList { root: rogue().public(), list: Signed::new(given.keys.list.content.clone(), &rogue()) };
    let mut key_list_signed_wrong = given.keys.clone();
    key_list_signed_wrong.list = key_list.list.clone();
    let mut revoked = given.revoked.content.clone();
    (revoked.seq, revoked.peers) = (revoked.seq + 1, vec![(given.payer.id(), 1)]);
    let signed_wrong = Signed::new(revoked.clone(), &rogue());
    revoked.kid = Kid::of(&given.forger.key("statement").public());
    let for_another_purpose = Signed::new(revoked, &given.forger.key("statement"));
    let (keys, list) =
        ("the key list is not signed by the pinned broker", "the revocation list is not signed by the pinned broker");
    for (key_list, revoked, words) in [
        (&key_list, &given.revoked, keys),
        (&key_list_signed_wrong, &given.revoked, keys),
        (&given.keys, &signed_wrong, list),
        (&given.keys, &for_another_purpose, list),
    ] {
        let _impostor = given.with_lists(key_list, revoked).await;
        is_told(&given.run(&["balance"]), words);
    }
    let impostor = given.with_lists(&key_list, &signed_wrong).await;
    given.shop.reopen();
    let log = std::fs::read_to_string(given.shop.town.world.path(&format!("{}.log", given.shop.name))).expect("a log");
    assert!(log.contains(keys), "{log}");
    let quoted = quote(&given.shop, &given.payer).await;
    assert_eq!(paid(given.payer.pay(&given.coin, (1, 21), &quoted).await), 10, "ten more words");
    drop(impostor);
    given.start_broker();
    given.shop.redeems_what_was_given(&given.coin, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_revocation_list_does_not_bring_a_suspended_payer_back() {
    let mut given = Given::new().await;
    given.shop.town.world.broker(&["account", "suspend", &given.payer.id().to_string()]);
    given.waits_for_the_list_to_say_so().await;
    given.shop.reopen();
    given.stop_broker();
    let impostor = given.with_true_lists().await;
    assert!(!given.revoked.content.contains(given.payer.id()), "it is the list from before");
    given.shop.reopen();
    let quoted = quote(&given.shop, &given.payer).await;
    let refused = netpay_tests::raw_peer::problem(given.payer.pay(&given.coin, (1, 21), &quoted).await);
    assert_eq!(refused.text, "the payer is on the revocation list");
    drop(impostor);
    given.ends_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_key_list_does_not_bring_a_revoked_key_back() {
    let mut given = Given::new().await;
    let other = raw_peer(&given.shop.town, 50).await;
    let coin = other.buy_one(50, Suite::Sha256, 1, Guarantee::Bearer).await.expect("bought");
    given.stop_broker();
    given.shop.town.world.broker(&["key", "rotate", "touchstone", "--revoke"]);
    given.start_broker();
    given.shop.reopen();
    given.stop_broker();
    let _impostor = given.with_true_lists().await;
    given.shop.reopen();
    let payment = RawPeer::first(&coin, other.grant(&coin, (1, 11), given.shop.id), 10);
    let revoked = "the touchstone's key is not one of the broker's, or is revoked";
    is_refused(&given.shop, &other, payment, revoked).await;
    // What was taken before stays taken: it is the broker's to pay, or to refuse.
    assert_eq!(given.run(&["wallet", "show"]).json["till_units"], 10);
}
