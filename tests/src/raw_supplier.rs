//! A supplier without rules: offers a file, answers with the truth or with the test's lie, and writes down every payment.
//!
//! It checks nothing: what it was given is in its book whatever it answered, and can be redeemed at a real broker.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use netpay_peer::content::CHUNK_BYTES;
use netpay_peer::content::tree::Tree;
use netpay_protocol::amounts::{PaywordIndex, Units};
use netpay_protocol::ids::{ContentId, Digest, EcoinId, PeerId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::HOUR_MS;
use netpay_protocol::messages::{AskChunk, AskQuote, AskReceipt, Chunk, Paid, Quoted};
use netpay_protocol::payment::{Pay, Payment};
use netpay_protocol::problem::Problem;
use netpay_protocol::quote::{self, Quote, Receipt};
use netpay_protocol::redemption::{Claim, Statement};
use netpay_protocol::subjects::{self, PeerOp};
use netpay_protocol::suite::Suite;
use netpay_protocol::wire;

use crate::raw_peer::{RawPeer, fresh_request, now_ms};

/// A request of another peer's.
pub struct Asked {
    /// What it wants.
    pub op: PeerOp,
    /// Who asks.
    pub from: PeerId,
    /// The message.
    pub bytes: Vec<u8>,
    /// How many requests for the same came before this one.
    pub nth: u64,
}

/// What a request is answered with.
pub enum Told {
    /// What an honest supplier answers.
    Truth,
    /// This.
    Bytes(Vec<u8>),
    /// No.
    Problem(Problem),
    /// Nothing, although it listens.
    Silence,
    /// Nothing, and it never listens again.
    Vanish,
}

/// What a supplier answers instead of the truth. Payments are in its book by then.
pub type Lie = Box<dyn Fn(&Stall, &Asked) -> Told + Send + Sync>;

/// What a supplier has, knows, and was given.
pub struct Stall {
    /// Its keys and its connection.
    pub peer: RawPeer,
    /// What it offers.
    pub content: ContentId,
    /// For how much.
    pub price: u64,
    path: PathBuf,
    tree: Tree,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    grants: BTreeMap<(EcoinId, PaywordIndex), Signed<SignedIndex>>,
    words: BTreeMap<(EcoinId, PaywordIndex), netpay_protocol::payment::Revealed>,
    paid: BTreeMap<Digest, u64>,
    asked: BTreeMap<&'static str, u64>,
}

impl Book {
    /// Words held, of one unit each.
    fn worth(&self) -> u64 {
        let words = self.words.iter().map(|((_, from), revealed)| u64::from(revealed.through.0 + 1 - from.0));
        words.sum()
    }

    fn take(&mut self, pay: &Pay) {
        let (key, before) = (pay.payment.grant(), self.worth());
        if let Payment::First { index, .. } | Payment::Grown { index, .. } = &pay.payment {
            self.grants.insert(key, index.clone());
        }
        let revealed = pay.payment.revealed();
        let held = self.words.entry(key).or_insert_with(|| revealed.clone());
        if held.through < revealed.through {
            *held = revealed.clone();
        }
        let new = self.worth() - before;
        *self.paid.entry(pay.order).or_default() += new;
    }
}

/// A stall that is open until this is dropped.
pub struct RawSupplier {
    /// See [`Stall`].
    pub stall: Arc<Stall>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for RawSupplier {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl RawSupplier {
    /// Opens a stall with a file of so many chunks, no two the same.
    pub async fn open(peer: RawPeer, folder: &Path, chunks: usize, price: u64, lie: Lie) -> Self {
        let path = folder.join(format!("{}.wares", peer.id()));
        let chunk = usize::try_from(CHUNK_BYTES).expect("small");
        let byte = |i: usize| u8::try_from((i / chunk * 31 + i % 241) % 251).expect("small");
        std::fs::write(&path, (0..chunks * chunk - 100).map(byte).collect::<Vec<u8>>()).expect("our own file");
        let tree = Tree::of_file(&path).expect("just written");
        let stall = Stall { peer, content: tree.content(), price, path, tree, book: Mutex::default() };
        Self::reopen(Arc::new(stall), lie).await
    }

    /// Opens it again, with another lie.
    pub async fn reopen(stall: Arc<Stall>, lie: Lie) -> Self {
        let client = stall.peer.client.clone();
        let mut requests = client.subscribe(subjects::any_peer(stall.peer.id())).await.expect("connected");
        client.flush().await.expect("connected");
        // The server has the subscription when the answer to a later message is here.
        let _ = stall.peer.client.request(client.new_inbox(), "".into()).await;
        let at = stall.clone();
        let serving = tokio::spawn(async move {
            while let Some(message) = requests.next().await {
                let Some((from, op)) = subjects::peer_sender(&message.subject) else { continue };
                let nth = at.count(op);
                let asked = Asked { op, from, bytes: message.payload.to_vec(), nth };
                if op == PeerOp::Pay {
                    let pay: Pay = wire::decode(&asked.bytes).expect("an agent's payment");
                    at.book().take(&pay);
                }
                let told = match lie(&at, &asked) {
                    Told::Truth => Told::Bytes(at.truth(&asked)),
                    lie => lie,
                };
                let Some(reply) = message.reply else { continue };
                let sent = match told {
                    Told::Bytes(bytes) => client.publish(reply, bytes.into()).await,
                    Told::Problem(problem) => {
                        let mut headers = async_nats::HeaderMap::new();
                        headers.insert("Nats-Service-Error", problem.kind.name());
                        headers.insert("Nats-Service-Error-Code", problem.kind.code().to_string());
                        client.publish_with_headers(reply, headers, wire::encode(&problem).into()).await
                    }
                    Told::Silence | Told::Truth => continue,
                    Told::Vanish => return,
                };
                sent.expect("connected");
            }
        });
        Self { stall, serving }
    }
}

impl Stall {
    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panicked with it")
    }

    fn count(&self, op: PeerOp) -> u64 {
        let mut book = self.book();
        let count = book.asked.entry(op.token()).or_default();
        *count += 1;
        *count - 1
    }

    fn truth(&self, asked: &Asked) -> Vec<u8> {
        match asked.op {
            PeerOp::Quote => wire::encode(&self.quoted(self.quote(&wire::decode(&asked.bytes).expect("a question")))),
            PeerOp::Pay => {
                let pay: Pay = wire::decode(&asked.bytes).expect("a payment");
                wire::encode(&Paid { paid: self.paid(pay.order) })
            }
            PeerOp::Chunk => {
                let ask: AskChunk = wire::decode(&asked.bytes).expect("a question");
                wire::encode(&Chunk { slice: self.slice(ask.index) })
            }
            PeerOp::Close => {
                let ask: AskReceipt = wire::decode(&asked.bytes).expect("a question");
                wire::encode(&self.peer.sign(self.receipt(asked.from, ask.order)))
            }
            // It speaks with its first key, and has none. No honest asker wants one.
            PeerOp::Certificate => Vec::new(),
        }
    }

    /// What it was paid towards an order.
    pub fn paid(&self, order: Digest) -> Units {
        Units(self.book().paid.get(&order).copied().unwrap_or(0))
    }

    /// An honest quote for what is asked.
    pub fn quote(&self, ask: &AskQuote) -> Quote {
        let chunks = quote::chunks(self.tree.size_bytes(), CHUNK_BYTES);
        let chunk_count = ask.chunk_count.unwrap_or(chunks - ask.first_chunk);
        Quote {
            broker: self.peer.broker,
            content: self.content,
            size_bytes: self.size_bytes(),
            chunk_bytes: CHUNK_BYTES,
            first_chunk: ask.first_chunk,
            chunk_count,
            price_units: quote::price_of_part(Units(self.price), chunk_count, chunks),
            payee: self.peer.id(),
            expires_ms: now_ms() + HOUR_MS,
            nonce: fresh_request().0,
        }
    }

    /// A quote as it is sent.
    pub fn quoted(&self, quote: Quote) -> Quoted {
        Quoted { quote: self.peer.sign(quote), key: self.peer.key.public(), suites: vec![Suite::Sha256, Suite::Md5] }
    }

    /// An honest receipt.
    pub fn receipt(&self, payer: PeerId, order: Digest) -> Receipt {
        Receipt {
            broker: self.peer.broker,
            payee: self.peer.id(),
            payer,
            order,
            paid_units: self.paid(order),
            issued_at_ms: now_ms(),
        }
    }

    /// A chunk with its proof.
    pub fn slice(&self, index: u64) -> Vec<u8> {
        self.tree.slice(&File::open(&self.path).expect("our own file"), index).expect("unchanged")
    }

    /// The file's size.
    pub fn size_bytes(&self) -> u64 {
        self.tree.size_bytes()
    }

    /// The file itself.
    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).expect("our own file")
    }

    /// What all the words in its book are worth, at one unit each.
    pub fn worth(&self) -> u64 {
        self.book().worth()
    }

    /// How often it was asked for this.
    pub fn asked(&self, op: PeerOp) -> u64 {
        self.book().asked.get(op.token()).copied().unwrap_or(0)
    }

    /// The most that its book proves.
    pub fn claims(&self) -> Vec<Claim> {
        let book = self.book();
        let claim = |(key, revealed): (&(EcoinId, PaywordIndex), &netpay_protocol::payment::Revealed)| Claim {
            index: book.grants[key].clone(),
            through: revealed.through,
            word: *revealed.words.last().expect("an agent's payment has words"),
        };
        book.words.iter().map(claim).collect()
    }

    /// Redeems its book at the broker.
    pub async fn redeem(&self) -> Statement {
        self.peer.redeem(&self.peer.batch(self.claims())).await.expect("a statement")
    }
}
