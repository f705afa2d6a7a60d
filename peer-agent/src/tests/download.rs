//! Downloading, told as scenes with a supplier that can lie, be silent, and forget.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::Digest;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::messages::{AskChunk, Chunk, Quoted};
use netpay_protocol::payment::Pay;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::subjects::PeerOp;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;

use crate::content::partial::Partial;
use crate::content::tree::Tree;
use crate::content::{CHUNK_BYTES, Existing};
use crate::getting::download::{self, Download, Error};
use crate::ports::{CallError, InOrder, InOrders as _, OutOrder, OutOrders as _, Supplier, Till as _};
use crate::tests::broker::{NOW, TestBroker};
use crate::tests::trade::{Peer, chain_of, now};
use crate::till::accepting::Refused;
use crate::till::offering;
use crate::wallet::granting;
use crate::wallet::purse::Mode;

const CHUNKS: u64 = 10;

/// Bob, as alice reaches him.
struct Shop<'a> {
    broker: &'a TestBroker,
    bob: &'a Peer,
    alice: &'a Peer,
    tree: Tree,
    file: PathBuf,
    /// The chunk that comes with a changed byte.
    forge: Cell<Option<u64>>,
    /// How many answers to payments are lost from now on.
    lose_paid: Cell<u32>,
    /// How many payments are taken and answered with a refusal from now on.
    deny_paid: Cell<u32>,
    /// What was asked, in order: `pay` with the highest word, `chunk` with its index.
    asked: RefCell<Vec<(PeerOp, u64)>>,
}

impl Supplier for Shop<'_> {
    async fn ask(&self, op: PeerOp, message: Vec<u8>) -> Result<Vec<u8>, CallError> {
        let told = |error| match error {
            Refused::Problem(problem) => CallError::Problem(problem),
            Refused::Store(error) => panic!("{error}"),
        };
        match op {
            PeerOp::Quote | PeerOp::Close | PeerOp::Certificate => {
                Err(Problem::new(Kind::NotFound, "not in this test").into())
            }
            PeerOp::Pay => {
                let pay: Pay = wire::decode(&message).expect("a Pay");
                self.asked.borrow_mut().push((op, u64::from(pay.payment.revealed().through.0)));
                let paid = self.bob.accept(self.broker, self.alice.id(), &pay).map_err(told)?;
                let lose = self.lose_paid.get();
                if lose > 0 {
                    self.lose_paid.set(lose - 1);
                    return Err(CallError::Silence("lost".into()));
                }
                let deny = self.deny_paid.get();
                if deny > 0 {
                    self.deny_paid.set(deny - 1);
                    return Err(Problem::new(Kind::PaymentRefused, "said somebody on the way").into());
                }
                Ok(wire::encode(&paid))
            }
            PeerOp::Chunk => {
                let ask: AskChunk = wire::decode(&message).expect("an AskChunk");
                self.asked.borrow_mut().push((op, ask.index));
                let serve = self.bob.store.read(|tx| offering::may_serve(tx, self.alice.id(), ask.order, ask.index));
                serve.map_err(told)?;
                let file = std::fs::File::open(&self.file).expect("there");
                let mut slice = self.tree.slice(&file, ask.index).expect("unchanged");
                if self.forge.get() == Some(ask.index) {
                    let last = slice.len() - 1;
                    slice[last] ^= 1;
                }
                Ok(wire::encode(&Chunk { slice }))
            }
        }
    }
}

struct Scene {
    broker: TestBroker,
    alice: Peer,
    bob: Peer,
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            broker: TestBroker::new(),
            alice: Peer::new(1),
            bob: Peer::new(2),
            dir: tempfile::tempdir().expect("a directory"),
        };
        scene.alice.buy(&scene.broker, chain_of(200, Suite::Sha256));
        let size = CHUNKS * u64::from(CHUNK_BYTES) - 7;
        let bytes: Vec<u8> = (0..size).map(|i| u8::try_from(i * 31 % 251).expect("small")).collect();
        std::fs::write(scene.dir.path().join("song"), bytes).expect("written");
        scene
    }

    fn shop(&self) -> Shop<'_> {
        let file = self.dir.path().join("song");
        Shop {
            broker: &self.broker,
            bob: &self.bob,
            alice: &self.alice,
            tree: Tree::of_file(&file).expect("read"),
            file,
            forge: Cell::new(None),
            lose_paid: Cell::new(0),
            deny_paid: Cell::new(0),
            asked: RefCell::default(),
        }
    }

    /// An order of alice's for the song.
    fn order(&self, shop: &Shop<'_>, price: u64) -> OutOrder {
        let template = self.bob.quote(&self.broker, &self.alice, price);
        let held = self.alice.store.read(|tx| tx.out_order(template)).expect("read").expect("kept");
        let quote = netpay_protocol::quote::Quote {
            content: shop.tree.content(),
            size_bytes: shop.tree.size_bytes(),
            chunk_count: crate::content::chunks(shop.tree.size_bytes()),
            ..held.quote.content
        };
        let quoted = Quoted {
            quote: Signed::new(quote, &self.bob.me.signing),
            key: self.bob.me.signing.public(),
            suites: vec![Suite::Sha256],
        };
        let order = InOrder { quote: quoted.quote.clone(), asker: self.alice.id(), paid: Units::ZERO };
        self.bob.store.write(|tx| tx.add_in_order(&order)).expect("kept");
        self.alice.store.write(|tx| granting::open_order(tx, &quoted)).expect("kept")
    }

    fn partial(&self, order: &OutOrder) -> Partial {
        let quote = &order.quote.content;
        Partial::open(&self.dir.path().join("got"), quote.content, quote.size_bytes).expect("opens")
    }

    fn run(&self, shop: &Shop<'_>, order: &OutOrder, mode: Mode, partial: &mut Partial) -> Result<(), Error> {
        // The order as it is kept: what a later process would find.
        let digest = order.quote.content.digest();
        let order = self.alice.store.read(|tx| tx.out_order(digest)).expect("read").expect("kept");
        let mut download = Download::new(&self.alice.store, &self.alice.me, shop, mode, Units(u64::MAX), &now, &order);
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(download.run(partial, &|_| ()))
    }

    fn paid(&self, order: &OutOrder) -> (u64, u64) {
        let digest: Digest = order.quote.content.digest();
        let out = self.alice.store.read(|tx| tx.out_order(digest)).expect("read").expect("kept");
        let at_bob = self.bob.store.read(|tx| tx.in_order(digest)).expect("read").expect("kept");
        assert_eq!(out.paid, at_bob.paid, "both count the same");
        (out.sent.0, out.paid.0)
    }
}

#[test]
fn each_word_leaves_only_after_the_chunks_of_the_word_before_were_verified() {
    for price in [1, 5, 10, 30] {
        let scene = Scene::new();
        let shop = scene.shop();
        let order = scene.order(&shop, price);
        let mut partial = scene.partial(&order);
        scene.run(&shop, &order, Mode::Session, &mut partial).expect("downloads");
        partial.finish(Existing::Keep).expect("the content");
        assert_eq!(scene.paid(&order), (price, price));
        // At every moment at most one chunk's price ahead of what was received.
        let (mut paid, mut got) = (0, 0);
        for (op, value) in shop.asked.borrow().iter() {
            match op {
                PeerOp::Pay => {
                    paid = *value;
                    assert!(paid <= order.quote.content.due_for_chunk(got).0, "{paid} paid with {got} chunks");
                }
                _ => got += 1,
            }
        }
        assert_eq!((paid, got), (price, CHUNKS));
        let (song, copy) = (shop.file.clone(), scene.dir.path().join("got"));
        assert_eq!(std::fs::read(song).expect("there"), std::fs::read(copy).expect("there"));
    }
}

#[test]
fn a_chunk_that_does_not_verify_stops_the_payments_at_once_and_what_was_verified_is_kept() {
    let scene = Scene::new();
    let shop = scene.shop();
    let order = scene.order(&shop, 30);
    let mut partial = scene.partial(&order);
    shop.forge.set(Some(4));
    let result = scene.run(&shop, &order, Mode::Session, &mut partial);
    assert!(matches!(result, Err(Error::NotTheContent(4))), "{result:?}");
    assert_eq!(partial.held(), 4);
    assert_eq!(scene.paid(&order), (15, 15), "five chunks of three words, and no word more");
    drop(partial);
    // The supplier mends its ways: what is missing is paid, and nothing twice.
    shop.forge.set(None);
    let mut partial = scene.partial(&order);
    scene.run(&shop, &order, Mode::Session, &mut partial).expect("goes on");
    assert_eq!(scene.paid(&order), (30, 30));
    partial.finish(Existing::Keep).expect("the content");
}

#[test]
fn a_download_that_is_cut_off_while_a_payment_is_unanswered_goes_on_and_pays_nothing_twice() {
    for mode in [Mode::Session, Mode::PerPayment] {
        let scene = Scene::new();
        let shop = scene.shop();
        let order = scene.order(&shop, 30);
        let mut partial = scene.partial(&order);
        shop.lose_paid.set(5);
        let result = scene.run(&shop, &order, mode, &mut partial);
        assert!(matches!(result, Err(Error::Call(CallError::Silence(_)))), "{result:?}");
        drop(partial);
        let mut partial = scene.partial(&order);
        scene.run(&shop, &order, mode, &mut partial).expect("goes on");
        assert_eq!(scene.paid(&order), (30, 30));
        let (taken, _) = scene.bob.store.read(|tx| tx.exposure(scene.alice.id())).expect("read");
        assert_eq!(taken, Units(30));
    }
}

#[test]
fn a_chunk_is_not_served_before_it_is_paid_nor_to_anybody_but_who_asked_for_the_quote() {
    let scene = Scene::new();
    let shop = scene.shop();
    let order = scene.order(&shop, 10);
    let digest = order.quote.content.digest();
    let serve = |asker, index| scene.bob.store.read(|tx| offering::may_serve(tx, asker, digest, index));
    let kind = |result: Result<_, Refused>| match result {
        Err(Refused::Problem(problem)) => Some(problem.kind),
        Err(Refused::Store(error)) => panic!("{error}"),
        Ok(_) => None,
    };
    assert_eq!(kind(serve(scene.alice.id(), 0)), Some(Kind::PaymentDue));
    scene.bob.store.write(|tx| tx.credit_in_order(digest, Units(4))).expect("credited");
    assert_eq!(kind(serve(scene.alice.id(), 3)), None);
    assert_eq!(kind(serve(scene.alice.id(), 4)), Some(Kind::PaymentDue));
    assert_eq!(kind(serve(scene.alice.id(), CHUNKS)), Some(Kind::NotFound));
    assert_eq!(kind(serve(scene.bob.id(), 3)), Some(Kind::NotFound));
}

#[test]
fn what_another_order_left_unanswered_is_answered_before_the_next_order_pays() {
    let scene = Scene::new();
    let shop = scene.shop();
    let left = scene.order(&shop, 5);
    let digest = left.quote.content.digest();
    // The program died after the payment was stored, before it was sent.
    scene.alice.grant(digest, 5, Mode::PerPayment).expect("enough");
    let settle = download::settle_unanswered(&scene.alice.store, &shop, scene.bob.id(), None, NOW);
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(settle)
        .expect("ok");
    assert_eq!(scene.paid(&left), (5, 5));
}

#[test]
fn a_payment_that_is_taken_and_answered_with_a_refusal_is_asked_for_once_more_and_not_paid_twice() {
    for mode in [Mode::Session, Mode::PerPayment] {
        let scene = Scene::new();
        let shop = scene.shop();
        let order = scene.order(&shop, 30);
        let mut partial = scene.partial(&order);
        shop.deny_paid.set(1);
        scene.run(&shop, &order, mode, &mut partial).expect("downloads");
        assert_eq!(scene.paid(&order), (30, 30));
        let (taken, _) = scene.bob.store.read(|tx| tx.exposure(scene.alice.id())).expect("read");
        assert_eq!(taken, Units(30));
    }
}

#[test]
fn a_supplier_that_denies_what_it_took_gets_no_more_than_that_and_the_next_order_goes_on() {
    let scene = Scene::new();
    let shop = scene.shop();
    let order = scene.order(&shop, 30);
    let mut partial = scene.partial(&order);
    shop.deny_paid.set(2);
    let refused = scene.run(&shop, &order, Mode::Session, &mut partial);
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    let next = scene.order(&shop, 30);
    scene.run(&shop, &next, Mode::Session, &mut partial).expect("downloads");
    assert_eq!(scene.paid(&next), (30, 30));
    let (taken, _) = scene.bob.store.read(|tx| tx.exposure(scene.alice.id())).expect("read");
    assert_eq!(taken, Units(33), "the denied payment of one chunk, and the price");
}

#[test]
fn an_order_is_left_where_it_would_pay_for_a_chunk_that_is_held() {
    for mode in [Mode::Session, Mode::PerPayment] {
        let scene = Scene::new();
        let shop = scene.shop();
        let order = scene.order(&shop, 30);
        let mut partial = scene.partial(&order);
        let file = std::fs::read(&shop.file).expect("there");
        let chunk = usize::try_from(CHUNK_BYTES).expect("small");
        for index in [3, 4] {
            let at = usize::try_from(index).expect("small") * chunk;
            partial.write(index, &file[at..file.len().min(at + chunk)]).expect("fits");
        }
        scene.run(&shop, &order, mode, &mut partial).expect("brings what it can");
        let asked = shop.asked.borrow();
        let fetched: Vec<u64> = asked.iter().filter(|(op, _)| *op == PeerOp::Chunk).map(|(_, index)| *index).collect();
        assert_eq!(fetched, [0, 1, 2]);
        assert_eq!(scene.paid(&order), (9, 9), "three chunks of three words");
        assert_eq!(partial.first_gap(), Some((5, 5)));
    }
}

#[test]
fn an_order_that_another_process_paid_meanwhile_is_paid_once_and_brings_both_files() {
    for mode in [Mode::Session, Mode::PerPayment] {
        let scene = Scene::new();
        let shop = scene.shop();
        let order = scene.order(&shop, 30);
        scene.run(&shop, &order, mode, &mut scene.partial(&order)).expect("the other process");
        let quote = &order.quote.content;
        let second = scene.dir.path().join("second");
        let mut partial = Partial::open(&second, quote.content, quote.size_bytes).expect("opens");
        // The order as it was before the other process paid.
        let (store, me) = (&scene.alice.store, &scene.alice.me);
        let mut download = Download::new(store, me, &shop, mode, Units(30), &now, &order);
        crate::tests::trade::wait(download.run(&mut partial, &|_| ())).expect("downloads");
        partial.finish(Existing::Keep).expect("the content");
        assert_eq!(scene.paid(&order), (30, 30));
    }
}

#[test]
fn words_that_another_orders_payment_is_under_way_with_are_waited_for_and_not_missed() {
    let scene = Scene::new();
    let shop = scene.shop();
    let left = scene.order(&shop, 5);
    scene.alice.grant(left.quote.content.digest(), 5, Mode::PerPayment).expect("enough");
    let order = scene.order(&shop, 30);
    scene.run(&shop, &order, Mode::Session, &mut scene.partial(&order)).expect("downloads");
    assert_eq!((scene.paid(&left), scene.paid(&order)), ((5, 5), (30, 30)));
}
