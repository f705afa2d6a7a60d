//! Hears every request of a scene as it passes through NATS, and sends it again: at once, or when all is over.
//!
//! Knows nothing of what is in a message. What it sends itself carries a header, and is not heard again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message};
use futures::StreamExt as _;
use tokio::runtime::Runtime;

const COPY: &str = "Copy";
/// How long a replayed request may wait for its answer.
const WAIT: Duration = Duration::from_secs(10);

/// What becomes of a request that passes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It is remembered.
    Record,
    /// It is sent once more at once.
    SendAgain,
}

/// See the module.
pub struct Tap {
    runtime: Runtime,
    client: Client,
    heard: Arc<Mutex<Vec<Message>>>,
}

impl Tap {
    /// Listens from now on.
    pub fn start(url: &str, wish: Wish) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads");
        let heard: Arc<Mutex<Vec<Message>>> = Arc::default();
        let client = runtime.block_on(async_nats::connect(url)).expect("NATS is there");
        let mut all = runtime.block_on(client.subscribe("netpay.v1.>")).expect("subscribed");
        runtime.block_on(client.flush()).expect("NATS is there");
        let (keep, again) = (Arc::clone(&heard), client.clone());
        runtime.spawn(async move {
            while let Some(message) = all.next().await {
                if message.reply.is_none() || message.headers.as_ref().is_some_and(|h| h.get(COPY).is_some()) {
                    continue;
                }
                if wish == Wish::SendAgain {
                    let inbox = again.new_inbox();
                    let copy = again.publish_with_reply_and_headers(
                        message.subject.clone(),
                        inbox,
                        marked(&message),
                        message.payload.clone(),
                    );
                    copy.await.expect("NATS is there");
                }
                keep.lock().expect("nobody panics holding it").push(message);
            }
        });
        Self { runtime, client, heard }
    }

    fn heard(&self) -> Vec<Message> {
        self.heard.lock().expect("nobody panics holding it").clone()
    }

    /// Whether requests of every kind that the scene has were heard.
    pub fn has_heard_everything(&self) {
        let heard = self.heard();
        let of_the_broker =
            ["register", "keys", "notices", "buy", "redeem", "balance", "payout", "restore", "rotate", "credit"];
        for kind in of_the_broker.into_iter().chain(["quote", "pay", "chunk", "close", "announce"]) {
            let ending = format!(".{kind}");
            assert!(heard.iter().any(|message| message.subject.ends_with(&ending)), "no request {kind} was heard");
        }
    }

    /// Sends everything again that was heard, and waits for each answer.
    pub fn replay(&self, backwards: bool) {
        let mut heard = self.heard();
        if backwards {
            heard.reverse();
        }
        for message in heard {
            let answer =
                self.client.request_with_headers(message.subject.clone(), marked(&message), message.payload.clone());
            let answer = self.runtime.block_on(async { tokio::time::timeout(WAIT, answer).await });
            answer.expect("an answer in time").unwrap_or_else(|error| panic!("{}: {error}", message.subject));
        }
    }
}

fn marked(message: &Message) -> HeaderMap {
    let mut headers = message.headers.clone().unwrap_or_default();
    headers.insert(COPY, "yes");
    headers
}
