//! Obtaining, told as scenes with suppliers that go away, lie about what they offer, or ask more than was said.

use std::cell::{Cell, RefCell};

use netpay_protocol::amounts::{UnitValue, Units};
use netpay_protocol::ids::ContentId;
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::{AskChunk, AskQuote, AskReceipt, Chunk};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::quote::{Quote, Receipt};
use netpay_protocol::subjects::PeerOp;
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;

use crate::content::tree::Tree;
use crate::content::{CHUNK_BYTES, Existing, is_there, partial};
use crate::getting::{Error, Obtaining, Used, Wish};
use crate::home::identity::{Identity, random_16};
use crate::ports::{
    CallError, History as _, InOrder, InOrders as _, OutOrders as _, Share, Shares as _, Slot, Slots as _, Supplier,
    Till as _, Wanted,
};
use crate::tests::broker::{NOW, TestBroker};
use crate::tests::trade::{Peer, chain_of, now, wait};
use crate::till::accepting::Refused;
use crate::till::offering::{self, Offer};
use crate::till::policy::Policy;
use crate::wallet::buying;
use crate::wallet::granting;
use crate::wallet::purse::Mode;
use crate::wallet::{broker_lists, certificates};

const CHUNKS: u64 = 10;

/// What a supplier does to the quote that it signs.
type Altered = Box<dyn Fn(&mut Quote)>;

/// A supplier, as alice reaches it.
struct Stall<'a> {
    scene: &'a Scene,
    peer: &'a Peer,
    /// How many more questions it answers before it is gone.
    answers: Cell<u32>,
    /// The chunk that comes with a changed byte.
    forge: Cell<Option<u64>>,
    /// What it makes of a quote.
    alter: RefCell<Option<Altered>>,
    /// What its receipts lack.
    lacks: Cell<u64>,
    /// The chunks that it was asked for.
    chunks: RefCell<Vec<u64>>,
}

impl Stall<'_> {
    fn answer(&self, op: PeerOp, message: &[u8]) -> Result<Vec<u8>, Refused> {
        let alice = self.scene.alice.id();
        let (store, key) = (&self.peer.store, &self.peer.me.signing);
        match op {
            PeerOp::Quote => {
                let ask: AskQuote = wire::decode(message).expect("an AskQuote");
                let policy = Policy::default();
                let offer = Offer {
                    me: &self.peer.me,
                    broker: self.scene.broker.id(),
                    policy: &policy,
                    chunk_bytes: CHUNK_BYTES,
                };
                let mut quoted = store.write(|tx| offering::quote(tx, &offer, alice, &ask, random_16(), NOW))?;
                if let Some(alter) = &*self.alter.borrow() {
                    let mut quote = quoted.quote.content.clone();
                    alter(&mut quote);
                    quoted.quote = Signed::new(quote, key);
                    let order = InOrder { quote: quoted.quote.clone(), asker: alice, paid: Units::ZERO };
                    store.write(|tx| tx.add_in_order(&order))?;
                }
                Ok(wire::encode(&quoted))
            }
            PeerOp::Certificate => {
                let certificate = store.read(|tx| certificates::held(tx, self.peer.id()))?;
                let none = || Problem::new(Kind::NotFound, "it speaks with its first key");
                Ok(wire::encode(&certificate.ok_or_else(none)?))
            }
            PeerOp::Pay => {
                let pay = wire::decode(message).expect("a Pay");
                Ok(wire::encode(&self.peer.accept(&self.scene.broker, alice, &pay)?))
            }
            PeerOp::Close => {
                let ask: AskReceipt = wire::decode(message).expect("an AskReceipt");
                let mut receipt = store.read(|tx| offering::receipt(tx, key, alice, ask.order, NOW))?.content;
                receipt.paid_units = Units(receipt.paid_units.0 - self.lacks.get());
                Ok(wire::encode(&Signed::<Receipt>::new(receipt, key)))
            }
            PeerOp::Chunk => {
                let ask: AskChunk = wire::decode(message).expect("an AskChunk");
                self.chunks.borrow_mut().push(ask.index);
                store.read(|tx| offering::may_serve(tx, alice, ask.order, ask.index))?;
                let file = std::fs::File::open(self.scene.dir.path().join("song")).expect("there");
                let mut slice = self.scene.tree.slice(&file, ask.index).map_err(|_| gone())?;
                if self.forge.get() == Some(ask.index) {
                    slice.iter_mut().for_each(|byte| *byte ^= 1);
                }
                Ok(wire::encode(&Chunk { slice }))
            }
        }
    }

    /// What this supplier holds for alice's orders.
    fn till(&self) -> u64 {
        self.peer.store.read(|tx| tx.exposure(self.scene.alice.id())).expect("read").0.0
    }
}

fn gone() -> Problem {
    Problem::new(Kind::NotFound, "gone")
}

impl Supplier for Stall<'_> {
    async fn ask(&self, op: PeerOp, message: Vec<u8>) -> Result<Vec<u8>, CallError> {
        let Some(left) = self.answers.get().checked_sub(1) else {
            return Err(CallError::Silence("nobody answers there now".into()));
        };
        self.answers.set(left);
        self.answer(op, &message).map_err(|error| match error {
            Refused::Problem(problem) => CallError::Problem(problem),
            Refused::Store(error) => panic!("{error}"),
        })
    }
}

struct Scene {
    broker: TestBroker,
    alice: Peer,
    bob: Peer,
    carol: Peer,
    tree: Tree,
    dir: tempfile::TempDir,
}

impl Scene {
    /// Alice has chains of words worth so much each; bob and carol offer the song at their prices.
    fn new(unit_value: u32, prices: (u64, u64)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("song");
        let size = CHUNKS * u64::from(CHUNK_BYTES) - 7;
        let bytes: Vec<u8> = (0..size).map(|i| u8::try_from(i * 31 % 251).expect("small")).collect();
        std::fs::write(&path, bytes).expect("written");
        let tree = Tree::of_file(&path).expect("read");
        let scene =
            Self { broker: TestBroker::new(), alice: Peer::new(1), bob: Peer::new(2), carol: Peer::new(3), tree, dir };
        for _ in 0..3 {
            let wish = buying::Wish { unit_value: UnitValue(unit_value), ..chain_of(200, Suite::Sha256) };
            scene.alice.buy(&scene.broker, wish);
        }
        for (peer, price) in [(&scene.bob, prices.0), (&scene.carol, prices.1)] {
            let share = Share {
                content: scene.tree.content(),
                path: path.clone(),
                name: "song".into(),
                size_bytes: size,
                price: Units(price),
                tags: String::new(),
                tree: scene.tree.to_bytes(),
            };
            peer.store.write(|tx| tx.put_share(&share)).expect("kept");
        }
        scene
    }

    fn stall<'a>(&'a self, peer: &'a Peer) -> Stall<'a> {
        Stall {
            scene: self,
            peer,
            answers: Cell::new(u32::MAX),
            forge: Cell::new(None),
            alter: RefCell::default(),
            lacks: Cell::new(0),
            chunks: RefCell::default(),
        }
    }

    fn run<T>(&self, mode: Mode, max_price: Option<u64>, then: impl AsyncFnOnce(Obtaining<'_>) -> T) -> T {
        let target = self.dir.path().join("got");
        let obtaining = Obtaining::new(Wish {
            store: &self.alice.store,
            me: &self.alice.me,
            broker: self.broker.id(),
            content: self.tree.content(),
            target: &target,
            mode,
            max_price: max_price.map(Units),
            now_ms: &now,
            progress: &|_, _| (),
        });
        wait(then(obtaining.expect("opens")))
    }

    /// Asks each in turn until one brings the rest.
    fn get(&self, from: &[(&Stall<'_>, u64)], max_price: Option<u64>) -> Result<Vec<Used>, Error> {
        self.run(Mode::Session, max_price, async |mut obtaining| {
            let mut last = None;
            for (stall, listed) in from {
                match obtaining.buy_from(*stall, stall.peer.id(), Some(Units(*listed))).await {
                    Ok(()) => return obtaining.finish(Existing::Keep),
                    Err(error) => {
                        assert!(error.is_the_suppliers(), "{error}");
                        last = Some(error);
                    }
                }
            }
            obtaining.leave()?;
            Err(last.expect("somebody was asked"))
        })
    }

    fn is_whole(&self) -> bool {
        let read = |name| std::fs::read(self.dir.path().join(name)).expect("there");
        read("got") == read("song")
    }
}

fn paid(used: &[Used]) -> Vec<(u64, u64)> {
    let mut paid: Vec<_> = used.iter().map(|used| (used.order.paid.0, used.chunks)).collect();
    paid.sort_unstable();
    paid
}

/// Quote, and then a payment and a chunk five times.
const HALF: u32 = 1 + 2 * 5;

#[test]
fn when_a_supplier_goes_away_the_next_one_brings_the_rest_and_only_that_is_paid() {
    let scene = Scene::new(1, (30, 30));
    let (bob, carol) = (scene.stall(&scene.bob), scene.stall(&scene.carol));
    bob.answers.set(HALF);
    let used = scene.get(&[(&bob, 30), (&carol, 30)], None).expect("carol has it");
    assert!(scene.is_whole());
    assert_eq!(*carol.chunks.borrow(), [5, 6, 7, 8, 9]);
    assert_eq!(paid(&used), [(15, 5), (15, 5)]);
    assert_eq!((bob.till(), carol.till()), (15, 15), "a word that bob did not get is not among what he holds");
}

#[test]
fn a_later_run_goes_on_with_another_supplier_and_pays_only_for_what_is_missing() {
    let scene = Scene::new(1, (30, 40));
    let (bob, carol) = (scene.stall(&scene.bob), scene.stall(&scene.carol));
    bob.answers.set(HALF);
    scene.get(&[(&bob, 30)], None).expect_err("bob is gone");
    // Carol asks 20 for the half, and 15 were paid: the person allowed 30, or what a listing says.
    let dear = scene.get(&[(&carol, 40)], None).expect_err("dearer than what was agreed");
    assert!(matches!(&dear, Error::TooDear(text) if text.contains("--max-price 38")), "{dear}");
    assert_eq!(carol.till(), 0);
    let used = scene.get(&[(&carol, 40)], Some(38)).expect("allowed");
    assert_eq!(paid(&used), [(15, 0), (20, 5)]);
    assert!(scene.is_whole());
}

#[test]
fn a_supplier_that_brings_something_else_is_left_for_the_next_one() {
    let scene = Scene::new(1, (30, 30));
    let (bob, carol) = (scene.stall(&scene.bob), scene.stall(&scene.carol));
    bob.forge.set(Some(4));
    scene.get(&[(&bob, 30), (&carol, 30)], None).expect("carol has it");
    assert_eq!((bob.till(), carol.till()), (15, 18), "the forged chunk's three words are lost, and no more");
    assert!(scene.is_whole());
}

#[test]
fn an_order_that_was_left_brings_what_it_paid_for_first_and_never_pays_for_what_came_from_elsewhere() {
    let scene = Scene::new(1, (30, 30));
    let (bob, carol) = (scene.stall(&scene.bob), scene.stall(&scene.carol));
    // Bob takes the payment for chunk 5 and is gone before he brings it.
    bob.answers.set(HALF + 1);
    scene.get(&[(&bob, 30)], None).expect_err("bob is gone");
    assert_eq!(bob.till(), 18);
    bob.answers.set(u32::MAX);
    // Carol brings two of the others, and is gone too.
    scene.run(Mode::Session, None, async |mut obtaining| {
        carol.answers.set(1 + 2 * 2);
        obtaining.buy_from(&carol, carol.peer.id(), Some(Units(30))).await.expect_err("carol is gone");
        obtaining.leave().expect("left");
    });
    assert_eq!((carol.till(), carol.chunks.borrow().clone()), (6, vec![5, 6]));
    bob.chunks.borrow_mut().clear();
    let used = scene.get(&[(&bob, 30)], None).expect("bob has it");
    assert_eq!(*bob.chunks.borrow(), [7, 8, 9]);
    assert!(scene.is_whole());
    assert_eq!(bob.till(), 18 + 9, "the rest under a new order: the old one would have paid for chunk 6 again");
    assert_eq!(paid(&used).iter().map(|(units, _)| units).sum::<u64>(), 33, "one payment was lost, and no more");
}

#[test]
fn a_chunk_that_was_paid_before_the_supplier_went_away_is_fetched_from_it_without_another_word() {
    let scene = Scene::new(1, (30, 30));
    let bob = scene.stall(&scene.bob);
    bob.answers.set(HALF + 1);
    scene.get(&[(&bob, 30)], None).expect_err("bob is gone");
    bob.answers.set(u32::MAX);
    let used = scene.get(&[(&bob, 30)], None).expect("bob is back");
    assert_eq!((bob.till(), paid(&used)), (30, vec![(30, 5)]));
}

#[test]
fn a_quote_for_anything_but_what_was_asked_for_is_refused_and_nothing_is_paid() {
    let alterations: [(&str, Altered); 7] = [
        ("other chunks", Box::new(|quote| quote.chunk_count -= 1)),
        ("later chunks", Box::new(|quote| (quote.first_chunk, quote.chunk_count) = (quote.first_chunk + 1, 4))),
        ("other content", Box::new(|quote| quote.content = ContentId([9; 32]))),
        ("chunks have", Box::new(|quote| quote.chunk_bytes = 65_536)),
        ("verified chunks", Box::new(|quote| quote.size_bytes = 4 * u64::from(CHUNK_BYTES))),
        ("expired", Box::new(|quote| quote.expires_ms = NOW)),
        ("empty", Box::new(|quote| (quote.size_bytes, quote.first_chunk, quote.chunk_count) = (0, 0, 0))),
    ];
    let scene = Scene::new(1, (30, 30));
    let (bob, carol) = (scene.stall(&scene.bob), scene.stall(&scene.carol));
    bob.answers.set(HALF);
    scene.get(&[(&bob, 30)], None).expect_err("bob is gone");
    for (what, alter) in alterations {
        let is_size = what == "verified chunks";
        *carol.alter.borrow_mut() = Some(Box::new(move |quote| {
            alter(quote);
            if is_size {
                (quote.first_chunk, quote.chunk_count) = (0, 4);
            }
        }));
        let refused = scene.get(&[(&carol, 30)], Some(1_000)).expect_err(what);
        let text = refused.to_string();
        let is_other_chunks = text.contains("others were asked for");
        assert!(is_other_chunks || text.contains(what), "{what}: {text}");
    }
    assert_eq!(carol.till(), 0);
    assert!(scene.alice.store.read(|tx| tx.open_out_orders(carol.peer.id())).expect("read").is_empty());
    *carol.alter.borrow_mut() = None;
    scene.get(&[(&carol, 30)], None).expect("what bob brought is still there");
}

#[test]
fn a_false_size_of_one_supplier_does_not_cost_what_was_verified() {
    let scene = Scene::new(1, (30, 30));
    let (bob, carol) = (scene.stall(&scene.bob), scene.stall(&scene.carol));
    *bob.alter.borrow_mut() = Some(Box::new(|quote| quote.size_bytes += 1));
    scene.get(&[(&bob, 30), (&carol, 30)], None).expect("carol has it");
    assert!(scene.is_whole());
    assert_eq!(*carol.chunks.borrow(), [9], "nine chunks came from bob");
    // And in a later run, which knows the false size from the order only.
    let scene = Scene::new(1, (30, 30));
    let (bob, carol) = (scene.stall(&scene.bob), scene.stall(&scene.carol));
    *bob.alter.borrow_mut() = Some(Box::new(|quote| quote.size_bytes += 1));
    scene.get(&[(&bob, 30)], None).expect_err("the last chunk is not the content's");
    scene.get(&[(&carol, 30)], None).expect("carol has it");
    assert_eq!(*carol.chunks.borrow(), [9]);
}

#[test]
fn a_price_above_what_listing_or_person_said_is_not_paid() {
    let scene = Scene::new(1, (30, 30));
    let bob = scene.stall(&scene.bob);
    for (listed, max_price, agreed) in
        [(Some(29), None, false), (None, None, false), (Some(30), Some(29), false), (None, Some(30), true)]
    {
        let result = scene.run(Mode::Session, max_price, async |mut obtaining| {
            let result = obtaining.buy_from(&bob, bob.peer.id(), listed.map(Units)).await;
            obtaining.leave().expect("left");
            result
        });
        assert_eq!(result.is_ok(), agreed, "{listed:?} {max_price:?}: {result:?}");
        assert!(agreed || matches!(result, Err(Error::TooDear(_))));
        assert_eq!(bob.till(), if agreed { 30 } else { 0 });
        assert!(
            agreed || !scene.dir.path().join("got.part").exists(),
            "nothing is left of a download that had nothing"
        );
    }
}

#[test]
fn large_words_never_take_an_order_above_its_price_unless_the_person_allowed_it() {
    for mode in [Mode::Session, Mode::PerPayment] {
        let scene = Scene::new(7, (30, 30));
        let bob = scene.stall(&scene.bob);
        for max_price in [None, Some(30), Some(34)] {
            let refused = scene.run(mode, max_price, async |mut obtaining| {
                let refused = obtaining.buy_from(&bob, bob.peer.id(), Some(Units(30))).await;
                obtaining.leave().expect("left");
                refused.expect_err("four words are 28, and five are 35")
            });
            assert!(refused.to_string().contains("35"), "{refused}");
            assert!(matches!(refused, Error::Granting(granting::Error::TooLarge { .. })), "{refused:?}");
            assert_eq!(bob.till(), 0, "no word left");
        }
        scene.run(mode, Some(35), async |mut obtaining| {
            obtaining.buy_from(&bob, bob.peer.id(), None).await.expect("allowed");
            obtaining.finish(Existing::Keep).expect("whole");
        });
        assert_eq!(bob.till(), 35);
        assert!(scene.is_whole());
    }
}

#[test]
fn small_words_are_kept_for_what_large_ones_cannot_pay_exactly() {
    let scene = Scene::new(7, (30, 30));
    scene.alice.buy(&scene.broker, chain_of(5, Suite::Sha256));
    let bob = scene.stall(&scene.bob);
    scene.get(&[(&bob, 30)], None).expect("four words of seven, and two of the five of one");
    assert_eq!(bob.till(), 30);
}

#[test]
fn the_most_that_it_may_cost_holds_for_all_suppliers_together() {
    let scene = Scene::new(1, (20, 30));
    let (bob, carol) = (scene.stall(&scene.bob), scene.stall(&scene.carol));
    bob.answers.set(HALF);
    let result = scene.get(&[(&bob, 20), (&carol, 30)], Some(26));
    assert!(
        matches!(result, Err(Error::TooDear(_))),
        "ten were paid, two are on their way, and fifteen more: {result:?}"
    );
    assert_eq!((bob.till(), carol.till()), (10, 0));
    scene.get(&[(&carol, 30)], Some(27)).expect("all of them");
    assert_eq!((bob.till(), carol.till()), (10, 15));
}

#[test]
fn the_most_that_it_may_cost_holds_over_runs_although_the_first_supplier_brought_nothing() {
    let scene = Scene::new(1, (20, 20));
    let (bob, carol) = (scene.stall(&scene.bob), scene.stall(&scene.carol));
    // A quote, a payment, and then silence.
    bob.answers.set(2);
    let per_payment = |stall: &Stall<'_>, max| {
        scene.run(Mode::PerPayment, Some(max), async |mut obtaining| {
            let result = obtaining.buy_from(stall, stall.peer.id(), Some(Units(20))).await;
            obtaining.leave().map(|_| result)
        })
    };
    per_payment(&bob, 20).expect("left").expect_err("no chunk came");
    assert_eq!((bob.till(), carol.till()), (20, 0));
    let again = per_payment(&carol, 39).expect("left");
    assert!(matches!(again, Err(Error::TooDear(_))), "{again:?}");
    assert_eq!(carol.till(), 0);
    per_payment(&carol, 40).expect("left").expect("allowed by the person");
    assert_eq!(carol.till(), 20);
}

#[test]
fn a_crash_before_the_file_has_its_name_asks_nobody_and_pays_nobody() {
    let scene = Scene::new(1, (30, 30));
    let bob = scene.stall(&scene.bob);
    scene.run(Mode::Session, None, async |mut obtaining| {
        obtaining.buy_from(&bob, bob.peer.id(), Some(Units(30))).await.expect("bought");
    });
    bob.answers.set(0);
    let used = scene.get(&[(&bob, 30)], None).expect("it is all there");
    assert!(scene.is_whole());
    assert_eq!(paid(&used), [(30, 0)]);
    assert!(scene.alice.store.read(|tx| tx.begun_out_orders(scene.tree.content())).expect("read").is_empty(), "closed");
}

#[test]
fn a_crash_after_the_file_got_its_name_leaves_orders_that_the_next_run_closes_without_asking_anybody() {
    let scene = Scene::new(1, (30, 30));
    let bob = scene.stall(&scene.bob);
    scene.run(Mode::Session, None, async |mut obtaining| {
        obtaining.buy_from(&bob, bob.peer.id(), Some(Units(30))).await.expect("bought");
    });
    let [part, got] = ["got.part", "got"].map(|name| scene.dir.path().join(name));
    assert!(!is_there(&got, scene.tree.content()).expect("read"));
    std::fs::hard_link(&part, &got).expect("named");
    assert!(is_there(&got, scene.tree.content()).expect("read"));
    let used = scene.run(Mode::Session, None, async |obtaining| obtaining.finish_named()).expect("it is all there");
    assert_eq!(paid(&used), [(30, 0)]);
    assert!(scene.is_whole() && !part.exists());
    assert!(scene.alice.store.read(|tx| tx.begun_out_orders(scene.tree.content())).expect("read").is_empty(), "closed");
    let again = scene.run(Mode::Session, None, async |obtaining| obtaining.finish_named()).expect("nothing to do");
    assert!(again.is_empty() && !part.exists());
    std::fs::write(&got, b"another file").expect("our own file");
    assert!(!is_there(&got, scene.tree.content()).expect("read"), "a name is not enough");
}

#[test]
fn a_receipt_is_asked_for_kept_and_what_it_lacks_is_told() {
    for lacks in [0, 2] {
        let scene = Scene::new(1, (30, 30));
        let bob = scene.stall(&scene.bob);
        bob.lacks.set(lacks);
        let used = scene.get(&[(&bob, 30)], None).expect("bought");
        assert_eq!(used[0].receipt, Some((Units(30 - lacks), Units(lacks))));
        let order = granting::order_of(&used[0].order);
        let kept = scene.alice.store.read(|tx| tx.receipt(order)).expect("read").expect("kept");
        assert_eq!(kept.content.paid_units, Units(30 - lacks));
        let noted =
            scene.alice.store.read(|tx| tx.history(&Wanted { limit: 1, ..Wanted::default() })).expect("read").remove(0);
        assert_eq!((noted.what.as_str(), noted.with), ("receipt", Some(scene.bob.id())));
    }
}

#[test]
fn only_what_is_the_suppliers_fault_is_tried_with_another() {
    let io = || std::io::Error::other("disk");
    assert!(!Error::Partial(partial::Error::Io(io())).is_the_suppliers());
    assert!(!Error::Download(crate::getting::download::Error::Partial(partial::Error::Io(io()))).is_the_suppliers());
    assert!(Error::Partial(partial::Error::NotTheSize(1)).is_the_suppliers());
    assert!(Error::Download(crate::getting::download::Error::NotTheContent(1)).is_the_suppliers());
    assert!(Error::Granting(granting::Error::Busy).is_the_suppliers());
}

#[test]
fn a_supplier_with_another_key_is_paid_when_the_broker_certified_it_and_its_old_key_quotes_nothing_after_that() {
    let mut scene = Scene::new(1, (20, 20));
    scene
        .alice
        .store
        .write(|tx| broker_lists::take_keys(tx, scene.broker.id(), &scene.broker.key_list(|_| ())))
        .expect("kept");
    let bob = scene.bob.id();
    let old = std::mem::replace(&mut scene.bob.me, Identity::of_seed(9));
    scene.bob.me = old.copy().with_keys_of(Identity::of_seed(32));
    let get = |scene: &Scene| {
        let stall = scene.stall(&scene.bob);
        scene.get(&[(&stall, 20)], Some(20)).map(|used| used.len())
    };
    let refused = get(&scene).expect_err("nobody says that this key is bob's");
    assert!(refused.to_string().contains("not signed by the peer that was asked"), "{refused}");
    for (peer, key) in [(bob, Identity::of_seed(33)), (scene.carol.id(), Identity::of_seed(32))] {
        let other = scene.broker.certificate(peer, key.signing.public(), 1);
        scene.bob.store.write(|tx| tx.put_slot(Slot::CertificateOf(bob), &wire::encode(&other))).expect("kept");
        get(&scene).expect_err("of another key, or another peer");
    }
    let certificate = scene.broker.certificate(bob, scene.bob.me.signing.public(), 2);
    scene.bob.store.write(|tx| tx.put_slot(Slot::CertificateOf(bob), &wire::encode(&certificate))).expect("kept");
    assert_eq!(get(&scene).expect("certified"), 1);
    assert!(scene.is_whole());
    assert_eq!(scene.stall(&scene.bob).till(), 20);

    scene.bob.me = old;
    let quoted = get_quote_only(&scene);
    assert!(quoted.contains("not signed by the peer that was asked"), "a key that was given up: {quoted}");
}

/// What is said of bob's quote for another copy of the song.
fn get_quote_only(scene: &Scene) -> String {
    std::fs::remove_file(scene.dir.path().join("got")).expect("there");
    let stall = scene.stall(&scene.bob);
    scene.get(&[(&stall, 20)], Some(40)).expect_err("refused").to_string()
}
