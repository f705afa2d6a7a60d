//! The nodes of one broker speak to one another over NATS, on a connection of their own: peers that keep a broker busy must not
//! delay its heartbeats.
//!
//! Only what carries the cluster key's MAC is a node's (`frame`), and each message is heard once (`session`). Everything else
//! that comes on a node's subject is dropped and counted, and never answered: whoever sends it learns nothing. async-nats drops
//! messages when this node is slow to take them; that is a late answer like any other.

mod frame;
mod session;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::{Client, Message, Request, RequestErrorKind, Subject, Subscriber};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use netpay_protocol::ids::BrokerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use self::frame::{Forged, Header, OVERHEAD_BYTES, Seal, SessionId, Taken, Topic};
use self::session::{Heard, Spoken, fresh};
use super::is_connected;
use crate::config::Config;
use crate::keys::cluster::ClusterKey;
use crate::ports::link::{Handler, Kind, Link, LinkError, MAX_BYTES, NodeId, Refused};

/// Messages that may wait to be looked at, or to be sent: each can have 1 MB.
const QUEUE: usize = 64;
/// How often the server is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(2);
/// The longest pause between two attempts to reach the server again.
const MOST_PAUSE: Duration = Duration::from_millis(500);
/// How long a greeting may take; a lost one must not hold up messages for as long as they may wait.
const GREETING: Duration = Duration::from_millis(500);
/// Where answers go. Nothing else is answered to: no node makes another publish somewhere.
const INBOX: &str = "_INBOX.";

/// Messages of one kind that are worked on at once. One more is refused.
fn most_at_once(kind: Kind) -> usize {
    match kind {
        Kind::Append | Kind::Status => 16,
        Kind::Vote => 8,
        Kind::Snapshot => 2,
        Kind::Command => 128,
    }
}

fn token(topic: Topic) -> &'static str {
    match topic {
        Topic::Greeting => "greet",
        Topic::Content(Kind::Append) => "append",
        Topic::Content(Kind::Vote) => "vote",
        Topic::Content(Kind::Snapshot) => "snapshot",
        Topic::Content(Kind::Command) => "command",
        Topic::Content(Kind::Status) => "status",
    }
}

/// `netpay.v1.cluster.<broker>.<node>.<op>`. Internal: no part of the protocol, and no peer may use it.
fn subject(broker: BrokerId, to: NodeId, op: &str) -> String {
    format!("netpay.v1.cluster.{broker}.{to}.{op}")
}

/// Why something was dropped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Dropped {
    /// It does not carry the MAC that a node of this broker would give it.
    Forged,
    /// A node's message, for another node.
    NotForMe,
    /// This node's own message.
    MyOwn,
    /// Heard before, or of a session that is over.
    Replayed,
    /// There is no inbox to answer to.
    NoInbox,
    /// An answer that does not carry its MAC.
    ForgedAnswer,
}

/// How much was dropped, by reason.
#[derive(Default)]
struct Counts(Mutex<BTreeMap<Dropped, u64>>);

impl Counts {
    fn add(&self, why: Dropped) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(why).or_default() += 1;
    }
}

struct Served {
    handlers: RwLock<BTreeMap<Kind, Arc<Handler>>>,
    slots: BTreeMap<Kind, Arc<Semaphore>>,
}

impl Served {
    fn new() -> Self {
        let slots = Kind::ALL.map(|kind| (kind, Arc::new(Semaphore::new(most_at_once(kind)))));
        Self { handlers: RwLock::default(), slots: slots.into() }
    }

    /// The handler, and the right to run it once.
    fn take(&self, kind: Kind) -> Result<(Arc<Handler>, OwnedSemaphorePermit), Refused> {
        let handlers = self.handlers.read().unwrap_or_else(PoisonError::into_inner);
        let handler = handlers.get(&kind).ok_or_else(|| Refused(format!("it takes no {kind:?} messages yet")))?;
        let busy = || Refused(format!("it works on {} {kind:?} messages already", most_at_once(kind)));
        let slot = self.slots.get(&kind).and_then(|slots| Arc::clone(slots).try_acquire_owned().ok());
        Ok((Arc::clone(handler), slot.ok_or_else(busy)?))
    }
}

/// What sending and listening share.
struct Node {
    me: NodeId,
    client: Client,
    seal: Seal,
    heard: Heard,
    spoken: Spoken,
    served: Served,
    dropped: Counts,
}

/// The link over NATS. Dropping it ends the listening.
pub struct NatsLink {
    node: Arc<Node>,
    listening: JoinHandle<()>,
}

impl Drop for NatsLink {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl NatsLink {
    /// Connects, and listens as this node.
    pub async fn connect(config: &Config, me: NodeId, key: ClusterKey) -> anyhow::Result<Self> {
        let options = super::options(config, &format!("netpay-broker-node-{me}")).await?;
        let options = options
            .subscription_capacity(QUEUE)
            .client_capacity(QUEUE)
            .ping_interval(PING_EVERY)
            .reconnect_delay_callback(|attempts| {
                let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
                Duration::from_millis(50).saturating_mul(attempts).min(MOST_PAUSE)
            });
        let client = super::dial(config, options).await?;
        let (most, needed) = (client.server_info().max_payload, MAX_BYTES + OVERHEAD_BYTES);
        ensure!(
            most >= needed,
            "the NATS server takes {most} bytes at most; set max_payload to 1MB ({needed} are needed)"
        );
        let subscriber =
            client.subscribe(subject(config.broker, me, "*")).await.context("cannot listen to other nodes")?;
        super::settle(&client).await?;
        let seal = Seal { key, broker: config.broker };
        let node = Arc::new(Node {
            me,
            client,
            seal,
            heard: Heard::default(),
            spoken: Spoken::default(),
            served: Served::new(),
            dropped: Counts::default(),
        });
        let listening = tokio::spawn(listen(Arc::clone(&node), subscriber));
        Ok(Self { node, listening })
    }

    /// How many messages were dropped for this reason.
    pub fn dropped(&self, why: Dropped) -> u64 {
        self.node.dropped.0.lock().unwrap_or_else(PoisonError::into_inner).get(&why).copied().unwrap_or(0)
    }

    /// Whether other nodes can be reached now, as far as it lies with this one.
    pub fn is_connected(&self) -> bool {
        is_connected(&self.node.client)
    }

    /// Listens no more, and sends what is to be sent.
    pub async fn stop(&self) {
        self.listening.abort();
        if let Err(error) = self.node.client.drain().await {
            tracing::warn!("the link to other nodes did not drain: {error}");
        }
    }
}

impl Link for NatsLink {
    fn request(
        &self,
        to: NodeId,
        kind: Kind,
        bytes: Vec<u8>,
        within: Duration,
    ) -> BoxFuture<'_, Result<Vec<u8>, LinkError>> {
        Box::pin(self.node.request(to, kind, bytes, within))
    }

    fn serve(&self, kind: Kind, handler: Handler) {
        self.node.served.handlers.write().unwrap_or_else(PoisonError::into_inner).insert(kind, Arc::new(handler));
    }
}

impl Node {
    async fn request(&self, to: NodeId, kind: Kind, bytes: Vec<u8>, within: Duration) -> Result<Vec<u8>, LinkError> {
        let refused = |why: String| Err(LinkError::Refused(to, Refused(why)));
        if to == self.me {
            return refused("it is this node itself".into());
        }
        if bytes.len() > MAX_BYTES {
            return refused(format!("a message has {MAX_BYTES} bytes at most, this one has {}", bytes.len()));
        }
        let until = Instant::now() + within;
        let session = match self.spoken.with(to) {
            Some(session) => session,
            None => self.greet(to, until).await?,
        };
        let (from, number) = (self.me, self.spoken.number());
        let asked = self.ask(&Header { topic: Topic::Content(kind), from, to, session, number }, &bytes, until).await;
        if matches!(asked, Err(LinkError::Late(_) | LinkError::Unreachable(_))) {
            // Perhaps the other side started anew, and does not know the session.
            self.spoken.doubt(to, session);
        }
        match asked? {
            (Taken::Answered, answer) => Ok(answer),
            (Taken::Refused, why) => refused(String::from_utf8_lossy(&why).into_owned()),
        }
    }

    /// Asks for a session. Nothing that matters was sent before it is there.
    async fn greet(&self, to: NodeId, until: Instant) -> Result<SessionId, LinkError> {
        let header = Header { topic: Topic::Greeting, from: self.me, to, session: fresh(), number: 0 };
        let until = until.min(Instant::now() + GREETING);
        let (_, answer) = self.ask(&header, &[], until).await.map_err(|_| LinkError::Unreachable(to))?;
        let session = answer.try_into().map_err(|_| LinkError::Unreachable(to))?;
        self.spoken.begin(to, session);
        Ok(session)
    }

    async fn ask(&self, header: &Header, body: &[u8], until: Instant) -> Result<(Taken, Vec<u8>), LinkError> {
        let to = header.to;
        // Without a connection the message would wait in the client, and go out after it was given up.
        if !is_connected(&self.client) {
            return Err(LinkError::Unreachable(to));
        }
        let (bytes, mac) = self.seal.message(header, body);
        let subject = subject(self.seal.broker, to, token(header.topic));
        let sent = self.client.send_request(subject, Request::new().payload(bytes.into()).timeout(None));
        let answer = match timeout_at(until, sent).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => match error.kind() {
                RequestErrorKind::NoResponders => return Err(LinkError::Unreachable(to)),
                RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => {
                    return Err(LinkError::Refused(to, Refused(error.to_string())));
                }
                RequestErrorKind::TimedOut | RequestErrorKind::Other => return Err(LinkError::Late(to)),
            },
            Err(_) => return Err(LinkError::Late(to)),
        };
        match self.seal.open_answer(&mac, &answer.payload) {
            Ok((taken, body)) => Ok((taken, body.to_vec())),
            Err(Forged) => {
                self.dropped.add(Dropped::ForgedAnswer);
                Err(LinkError::Late(to))
            }
        }
    }

    /// What a message asks for, if it is one to be heard.
    fn hear<'a>(&self, message: &'a Message) -> Result<(Header, &'a [u8], frame::Mac, Subject), Dropped> {
        let (header, body, mac) = self.seal.open_message(&message.payload).map_err(|Forged| Dropped::Forged)?;
        if header.from == self.me {
            return Err(Dropped::MyOwn);
        }
        if header.to != self.me {
            return Err(Dropped::NotForMe);
        }
        let reply = message.reply.clone().filter(|reply| reply.starts_with(INBOX)).ok_or(Dropped::NoInbox)?;
        if header.topic != Topic::Greeting && !self.heard.admit(header.from, header.session, header.number) {
            return Err(Dropped::Replayed);
        }
        Ok((header, body, mac, reply))
    }

    async fn answer(&self, reply: Subject, about: frame::Mac, taken: Taken, body: &[u8]) {
        let sent = self.client.publish(reply, self.seal.answer(&about, taken, body).into()).await;
        if let Err(error) = sent {
            tracing::warn!("an answer to another node could not be sent: {error}");
        }
    }
}

/// Looks at what comes, and has the handlers work on it beside one another.
async fn listen(node: Arc<Node>, mut subscriber: Subscriber) {
    while let Some(message) = subscriber.next().await {
        let (header, body, mac, reply) = match node.hear(&message) {
            Ok(heard) => heard,
            Err(why) => {
                tracing::debug!("dropped what came for this node: {why:?}");
                node.dropped.add(why);
                continue;
            }
        };
        let Topic::Content(kind) = header.topic else {
            let session = node.heard.greet(header.from);
            node.answer(reply, mac, Taken::Answered, &session).await;
            continue;
        };
        match node.served.take(kind) {
            Err(Refused(why)) => node.answer(reply, mac, Taken::Refused, why.as_bytes()).await,
            Ok((handler, slot)) => {
                let (work, node) = (handler(header.from, body.to_vec()), Arc::clone(&node));
                tokio::spawn(async move {
                    match work.await {
                        Ok(answer) if answer.len() > MAX_BYTES => {
                            // Something was done, so it must not be called refused.
                            tracing::error!("an answer of {} bytes to {kind:?} was dropped", answer.len());
                        }
                        Ok(answer) => node.answer(reply, mac, Taken::Answered, &answer).await,
                        Err(Refused(why)) => node.answer(reply, mac, Taken::Refused, why.as_bytes()).await,
                    }
                    drop(slot);
                });
            }
        }
    }
}
