//! The till's thread: owns everything that writes while this peer serves.
//!
//! Takes what is waiting together, commits it once, and only then answers anybody.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use netpay_crash_point::agent::Point;
use netpay_protocol::ids::{BrokerId, PeerId};
use netpay_protocol::key_list::BrokerKeys;
use netpay_protocol::messages::{AskQuote, AskReceipt};
use netpay_protocol::payment::Pay;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::subjects::PeerOp;
use netpay_protocol::wire;
use tokio::sync::{mpsc, oneshot};

use super::{Answer, busy, malformed, unavailable};
use crate::content::CHUNK_BYTES;
use crate::home::identity::{Identity, random_16};
use crate::ports::StoreError;
use crate::store::{Store, Tx};
use crate::till::accepting::{self, Payee, Refused};
use crate::till::offering::{self, Offer};
use crate::till::policy::Policy;
use crate::wallet::{broker_lists, certificates};

/// Requests that may wait for the till.
const QUEUE: usize = 256;
/// Requests that share a commit at most.
const GROUP: usize = 64;
/// How long the broker's lists are used before they are read again: another process may have fetched newer ones.
const LISTS_FOR: Duration = Duration::from_secs(1);

/// A list of the broker's that came in.
#[derive(Clone, Debug)]
pub enum List {
    /// The key list.
    Keys(Vec<u8>),
    /// The revocation list.
    Revoked(Vec<u8>),
}

enum Job {
    Request { from: PeerId, op: PeerOp, bytes: Vec<u8>, reply: oneshot::Sender<Answer> },
    List(List),
}

/// Who serves.
pub struct Server {
    /// The wallet's database.
    pub wallet: PathBuf,
    /// The keys.
    pub identity: Identity,
    /// The pinned broker.
    pub broker: BrokerId,
    /// What is accepted.
    pub policy: Policy,
    /// The clock.
    pub now_ms: fn() -> u64,
}

/// The way to the till's thread; the last one dropped ends it.
#[derive(Clone)]
pub struct TillDoor(mpsc::Sender<Job>);

#[cfg(test)]
impl TillDoor {
    /// A door that nobody is behind, with so many places to wait.
    pub fn to_nobody(places: usize) -> (Self, impl Send) {
        let (door, jobs) = mpsc::channel(places);
        (Self(door), jobs)
    }

    /// How many may still wait.
    pub fn places(&self) -> usize {
        self.0.capacity()
    }
}

impl TillDoor {
    /// Asks for a quote or pays.
    pub async fn ask(&self, from: PeerId, op: PeerOp, bytes: Vec<u8>) -> Answer {
        let (reply, answer) = oneshot::channel();
        let job = Job::Request { from, op, bytes, reply };
        match self.0.try_send(job) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err(unavailable())),
            Err(mpsc::error::TrySendError::Full(_)) => Err(busy()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(unavailable()),
        }
    }

    /// Brings a list of the broker's.
    pub async fn bring(&self, list: List) {
        // A list that does not fit comes again.
        let _ = self.0.send(Job::List(list)).await;
    }
}

/// Starts the till's thread. It ends, with everything answered, when every door is dropped.
pub fn start(server: Server) -> Result<(TillDoor, std::thread::JoinHandle<()>), StoreError> {
    let store = Store::open(&server.wallet)?;
    let (door, jobs) = mpsc::channel(QUEUE);
    let thread = std::thread::Builder::new()
        .name("till".into())
        .spawn(move || Keeper::new(server, store).work(jobs))
        .map_err(|error| StoreError(Box::new(error)))?;
    Ok((TillDoor(door), thread))
}

struct Keeper {
    server: Server,
    store: Store,
    lists: Option<(Instant, BrokerKeys, Option<RevocationList>)>,
}

impl Keeper {
    fn new(server: Server, store: Store) -> Self {
        Self { server, store, lists: None }
    }

    fn work(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP {
                match jobs.try_recv() {
                    Ok(job) => group.push(job),
                    Err(_) => break,
                }
            }
            self.serve(group);
        }
    }

    fn serve(&mut self, group: Vec<Job>) {
        let mut requests = Vec::new();
        for job in group {
            match job {
                Job::List(list) => self.take(&list),
                Job::Request { from, op, bytes, reply } => requests.push((from, op, bytes, reply)),
            }
        }
        if requests.is_empty() {
            return;
        }
        if let Err(error) = self.refresh_lists() {
            tracing::error!(%error, "the till's database");
            self.lists = None;
        }
        Point::TillDeciding.reached();
        // Committed once for all of them, and only then answered.
        let answers = self.store.write(|tx| {
            requests
                .iter()
                .map(|(from, op, bytes, _)| self.answer(tx, *from, *op, bytes))
                .collect::<Result<Vec<Answer>, StoreError>>()
        });
        match answers {
            Ok(answers) => {
                Point::TillKept.reached();
                for ((.., reply), answer) in requests.into_iter().zip(answers) {
                    let _ = reply.send(answer);
                }
                Point::TillAnswered.reached();
            }
            Err(error) => {
                tracing::error!(%error, "nothing was accepted");
                for (.., reply) in requests {
                    let _ = reply.send(Err(unavailable()));
                }
            }
        }
    }

    fn answer(&self, tx: &Tx<'_>, from: PeerId, op: PeerOp, bytes: &[u8]) -> Result<Answer, StoreError> {
        let result = match op {
            PeerOp::Quote => self.quote(tx, from, bytes),
            PeerOp::Pay => self.pay(tx, from, bytes),
            PeerOp::Close => self.close(tx, from, bytes),
            PeerOp::Certificate => self.certificate(tx),
            PeerOp::Chunk => Err(Problem::new(Kind::NotForMe, "not at the till").into()),
        };
        match result {
            Ok(bytes) => Ok(Ok(bytes)),
            Err(Refused::Problem(problem)) => Ok(Err(problem)),
            Err(Refused::Store(error)) => Err(error),
        }
    }

    fn quote(&self, tx: &Tx<'_>, from: PeerId, bytes: &[u8]) -> Result<Vec<u8>, Refused> {
        let ask: AskQuote = wire::decode(bytes).map_err(malformed)?;
        let offer = Offer {
            me: &self.server.identity,
            broker: self.server.broker,
            policy: &self.server.policy,
            chunk_bytes: CHUNK_BYTES,
        };
        let now_ms = (self.server.now_ms)();
        let quoted = offering::quote(tx, &offer, from, &ask, random_16(), now_ms)?;
        Ok(wire::encode(&quoted))
    }

    fn close(&self, tx: &Tx<'_>, from: PeerId, bytes: &[u8]) -> Result<Vec<u8>, Refused> {
        let ask: AskReceipt = wire::decode(bytes).map_err(malformed)?;
        let key = &self.server.identity.signing;
        Ok(wire::encode(&offering::receipt(tx, key, from, ask.order, (self.server.now_ms)())?))
    }

    /// The broker's word on this peer's key, for whoever cannot tell it from the PeerId.
    fn certificate(&self, tx: &Tx<'_>) -> Result<Vec<u8>, Refused> {
        let certificate = certificates::held(tx, self.server.identity.peer())?;
        let none = || Problem::new(Kind::NotFound, "this peer speaks with its first key, which needs no certificate");
        Ok(wire::encode(&certificate.ok_or_else(none)?))
    }

    fn pay(&self, tx: &Tx<'_>, from: PeerId, bytes: &[u8]) -> Result<Vec<u8>, Refused> {
        let pay: Pay = wire::decode(bytes).map_err(malformed)?;
        let payee = Payee {
            me: self.server.identity.peer(),
            broker: self.server.broker,
            keys: self.lists.as_ref().map(|(_, keys, _)| keys),
            revoked: self.lists.as_ref().and_then(|(_, _, revoked)| revoked.as_ref()),
            policy: &self.server.policy,
            now_ms: (self.server.now_ms)(),
        };
        let paid = accepting::accept(tx, &payee, from, &pay)?;
        Ok(wire::encode(&paid))
    }

    fn take(&mut self, list: &List) {
        let (broker, now_ms) = (self.server.broker, (self.server.now_ms)());
        let taken = self.store.write(|tx| match list {
            List::Keys(bytes) => match wire::decode(bytes) {
                Ok(list) => broker_lists::take_keys(tx, broker, &list),
                Err(_) => Ok(false),
            },
            List::Revoked(bytes) => match wire::decode(bytes) {
                Ok(list) => broker_lists::take_revoked(tx, broker, &list, now_ms),
                Err(_) => Ok(false),
            },
        });
        match taken {
            Ok(_) => self.lists = None,
            Err(error) => tracing::warn!(%error, "a notice was not taken"),
        }
    }

    fn refresh_lists(&mut self) -> Result<(), StoreError> {
        if self.lists.as_ref().is_some_and(|(at, ..)| at.elapsed() < LISTS_FOR) {
            return Ok(());
        }
        let (broker, now_ms) = (self.server.broker, (self.server.now_ms)());
        self.lists = self.store.read(|tx| {
            let Some(keys) = broker_lists::keys(tx, broker)? else { return Ok(None) };
            let revoked = broker_lists::revoked(tx, &keys, now_ms)?;
            Ok::<_, StoreError>(Some((Instant::now(), keys, revoked)))
        })?;
        Ok(())
    }
}
