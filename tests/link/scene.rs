//! Nodes on a bus of their own, and somebody who listens in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_nats::{Client, Message, Subscriber};
use futures::{FutureExt as _, StreamExt as _};
use netpay_broker::bus::link::{Dropped, NatsLink};
use netpay_broker::config::{Config, FILE, Role};
use netpay_broker::keys::cluster::ClusterKey;
use netpay_broker::ports::Link as _;
use netpay_broker::ports::link::{Kind, LinkError, NodeId};
use netpay_protocol::ids::BrokerId;
use netpay_tests::processes::{PATIENCE, World};

pub const BROKER: BrokerId = BrokerId([7; 16]);
/// How long to wait for an answer that will not come.
pub const SHORT: Duration = Duration::from_millis(300);

pub struct Scene {
    pub world: World,
    config: Config,
}

impl Scene {
    pub fn new() -> Self {
        let world = World::new();
        let text = Config::new_file(BROKER, Role::Broker, &world.nats_url(), "127.0.0.1:0", &[]);
        std::fs::write(world.path(FILE), text).expect("our own directory");
        let config = Config::load(world.dir.path()).expect("as it was written");
        Self { world, config }
    }

    pub async fn node(&self, id: NodeId) -> NatsLink {
        self.node_with(id, 1).await
    }

    pub async fn node_with(&self, id: NodeId, key: u8) -> NatsLink {
        NatsLink::connect(&self.config, id, ClusterKey::new([key; 32])).await.expect("the bus is there")
    }

    /// Two nodes, of which the second echoes what the first says.
    pub async fn pair(&self) -> (NatsLink, NatsLink, Arc<AtomicUsize>) {
        let (one, two) = (self.node(1).await, self.node(2).await);
        let heard = echo(&two);
        (one, two, heard)
    }

    pub async fn ear(&self) -> Ear {
        let client = async_nats::connect(self.world.nats_url()).await.expect("the bus is there");
        let all = client.subscribe("netpay.v1.cluster.>").await.expect("a subscription");
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.expect("a subscription");
        // A message to ourselves: once it is back, the server has taken in what was subscribed before.
        client.publish(inbox.clone(), "".into()).await.expect("a bus");
        tokio::time::timeout(PATIENCE, answers.next()).await.expect("an echo");
        Ear { client, all, inbox, answers }
    }
}

/// Answers every kind with what came, and counts.
pub fn echo(node: &NatsLink) -> Arc<AtomicUsize> {
    let heard = Arc::new(AtomicUsize::new(0));
    for kind in Kind::ALL {
        let heard = Arc::clone(&heard);
        node.serve(
            kind,
            Box::new(move |_, bytes| {
                heard.fetch_add(1, Ordering::SeqCst);
                async move { Ok(bytes) }.boxed()
            }),
        );
    }
    heard
}

pub fn count(heard: &AtomicUsize) -> usize {
    heard.load(Ordering::SeqCst)
}

/// Asks until there is an answer.
pub async fn answered(from: &NatsLink, to: NodeId, bytes: &[u8]) -> Vec<u8> {
    let start = Instant::now();
    loop {
        match from.request(to, Kind::Command, bytes.to_vec(), PATIENCE).await {
            Ok(answer) => return answer,
            Err(error @ LinkError::Refused(..)) => panic!("{error}"),
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
    }
}

/// Waits until this many were dropped for this reason. One more fails.
pub async fn dropped(node: &NatsLink, why: Dropped, times: u64) {
    let start = Instant::now();
    while node.dropped(why) < times {
        assert!(start.elapsed() < PATIENCE, "{why:?}: {} of {times}", node.dropped(why));
        tokio::task::yield_now().await;
    }
    assert_eq!(node.dropped(why), times, "{why:?}");
}

/// Somebody on the bus who hears everything and has no key.
pub struct Ear {
    pub client: Client,
    all: Subscriber,
    inbox: String,
    answers: Subscriber,
}

impl Ear {
    /// The next message to a node with this op.
    pub async fn overhear(&mut self, op: &str) -> Message {
        let next = async {
            loop {
                let message = self.all.next().await.expect("the bus is there");
                if message.subject.ends_with(op) {
                    return message;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("somebody speaks")
    }

    /// Sends these bytes to a node.
    pub async fn send(&self, to: NodeId, op: &str, bytes: &[u8]) {
        self.send_for(&self.inbox, to, op, bytes).await;
    }

    /// The same, with this place for the answer.
    pub async fn send_for(&self, reply: &str, to: NodeId, op: &str, bytes: &[u8]) {
        let subject = format!("netpay.v1.cluster.{BROKER}.{to}.{op}");
        self.client.publish_with_reply(subject, reply.to_owned(), bytes.to_vec().into()).await.expect("a bus");
        self.client.flush().await.expect("a bus");
    }

    /// How many answers came of node 2. What it has said before it answers `one` is here before we hear ourselves.
    pub async fn answers(&mut self, one: &NatsLink) -> usize {
        answered(one, 2, b"anything before?").await;
        self.client.publish(self.inbox.clone(), "the end".into()).await.expect("a bus");
        let mut before = 0;
        loop {
            let next = tokio::time::timeout(PATIENCE, self.answers.next()).await;
            if next.expect("our own message").expect("the bus is there").payload == "the end" {
                return before;
            }
            before += 1;
        }
    }
}
