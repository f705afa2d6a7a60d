//! The feed of what is recorded, for operators: every committed event at least once, with its position, through JetStream.
//!
//! Reads the log like anybody else, behind the writer, who knows nothing of it. It shows who pays whom, and leaves out the
//! words. Order is by position and index: what is published again after a failure comes later than it should.

mod cursor;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use netpay_crash_point::inbox::Point;
use netpay_ledger::{Event, Record};
use netpay_protocol::ids::Digest;
use netpay_protocol::redemption::Head;
use netpay_protocol::subjects;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::jetstream;
use super::service::Bus;
use crate::config;
use crate::ports::{State, fail_stop};
use cursor::Cursor;

/// Where events are kept for those who read them.
const STREAM: &str = "NETPAY_EVENTS";
/// So many bytes: a full stream gives up its oldest, which `ledger export` still has.
const MOST_BYTES: i64 = 256 << 20;
/// Within this time an event published again is stored once.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// Records published together.
const CHUNK: usize = 16;
/// How long to wait for another record.
const PAUSE: Duration = Duration::from_millis(200);
/// How long to wait after a failure.
const LONG_PAUSE: Duration = Duration::from_secs(5);
/// Left for headers in the largest message.
const HEADER_BYTES: usize = 1 << 10;

/// The record's position.
const POSITION: &str = "Netpay-Position";
/// The event's place in its record.
const INDEX: &str = "Netpay-Index";

/// How an event is told: as a line of `ledger export`.
pub type Tell = fn(&Record, Digest, usize, &Event) -> Value;

/// See the module.
pub struct Feed {
    context: Context,
    bus: Bus,
    state: Arc<dyn State>,
    tell: Tell,
    path: PathBuf,
    /// Published through here.
    head: Head,
}

impl Feed {
    /// Makes or checks the stream, and finds out where to go on; `None` if there is to be no feed.
    pub async fn open(
        bus: &Bus,
        wish: config::Events,
        state: Arc<dyn State>,
        tell: Tell,
        path: PathBuf,
    ) -> anyhow::Result<Option<Self>> {
        if !wish.enabled {
            return Ok(None);
        }
        let Some(context) = jetstream::find(&bus.client).await? else {
            bail!("events: enabled = true, and the NATS server has no JetStream; start it with: nats-server -js");
        };
        let head = Cursor::read(&path)?.resume(&*state).context("events")?;
        jetstream::stream(&context, wanted(wish.replicas)).await.context("events")?;
        Ok(Some(Self { context, bus: bus.clone(), state, tell, path, head }))
    }

    /// Goes on where it was left.
    pub fn publish(self) -> JoinHandle<()> {
        tokio::spawn(Arc::new(self).go_on())
    }

    async fn go_on(self: Arc<Self>) {
        let mut head = self.head;
        self.bus.observe.published(head.position);
        loop {
            let at = Arc::clone(&self);
            let Ok((messages, last)) = tokio::task::spawn_blocking(move || at.next(head)).await else { return };
            let Some(last) = last else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            if let Err(error) = self.store(messages).await {
                tracing::warn!("events were not published, and are tried again: {error:#}");
                tokio::time::sleep(LONG_PAUSE).await;
                continue;
            }
            Point::EventsPublished.reached();
            let path = self.path.clone();
            // Without it the same events are published again after a restart.
            match tokio::task::spawn_blocking(move || last.write(&path)).await {
                Ok(Err(error)) => tracing::warn!("{error:#}"),
                Ok(Ok(())) => {}
                Err(_) => return,
            }
            head = last.head;
            self.bus.observe.published(head.position);
        }
    }

    /// The events of the records that follow.
    fn next(&self, mut head: Head) -> (Vec<Message>, Option<Cursor>) {
        let most = self.bus.client.server_info().max_payload.saturating_sub(HEADER_BYTES);
        let (mut messages, mut last) = (Vec::new(), None);
        for _ in 0..CHUNK {
            let bytes = self.state.record(head.position + 1);
            let bytes = bytes.unwrap_or_else(|error| fail_stop("the ledger cannot be read", &error));
            let Some(bytes) = bytes else { break };
            let (record, next) =
                Record::read(&bytes, head).unwrap_or_else(|error| fail_stop("the ledger cannot be read", &error));
            for (index, event) in record.events.iter().enumerate() {
                messages.push(message((self.tell)(&record, next.hash, index, event), most));
            }
            last = Some(Cursor { head: next, incarnation: record.incarnation });
            head = next;
        }
        (messages, last)
    }

    /// Returns when all are stored.
    async fn store(&self, messages: Vec<Message>) -> anyhow::Result<()> {
        let mut stored = Vec::with_capacity(messages.len());
        for Message { subject, id, headers, line } in messages {
            let event = PublishMessage::build().headers(headers).payload(line.into()).message_id(id);
            stored.push(self.context.send_publish(subject, event.expected_stream(STREAM)).await?);
        }
        for acknowledged in stored {
            acknowledged.await?;
        }
        Ok(())
    }
}

struct Message {
    subject: String,
    id: String,
    headers: HeaderMap,
    line: String,
}

/// A line of the export without words. One that is larger than a message may be goes without its fields, and says so.
fn message(mut line: Value, most: usize) -> Message {
    if let Some(claims) = line.pointer_mut("/fields/claims").and_then(Value::as_array_mut) {
        for claim in claims.iter_mut().filter_map(Value::as_object_mut) {
            claim.remove("word");
        }
    }
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let (subject, hash) = (subjects::event(&text("event")), text("hash"));
    let mut headers = HeaderMap::new();
    headers.insert(POSITION, line["position"].to_string());
    headers.insert(INDEX, line["index"].to_string());
    let id = format!("{hash}-{}", line["index"]);
    let mut told = line.to_string();
    if told.len() > most {
        line["fields"] = Value::Null;
        line["fields_bytes"] = told.len().into();
        told = line.to_string();
    }
    Message { subject, id, headers, line: told }
}

fn wanted(replicas: usize) -> Config {
    Config {
        name: STREAM.into(),
        subjects: vec![subjects::any_event()],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        storage: StorageType::File,
        max_bytes: MOST_BYTES,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_message_size: -1,
        max_consumers: -1,
        duplicate_window: DUPLICATE_WINDOW,
        num_replicas: replicas,
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_published_without_words_and_one_that_is_too_large_without_its_fields() {
        let line = json!({
            "position": 7, "index": 1, "hash": "ab", "event": "batch_redeemed",
            "fields": { "payee": "p", "claims": [{ "word": "secret", "through": 3 }] },
        });
        let whole = message(line.clone(), 1_000);
        assert_eq!((whole.subject, whole.id.as_str()), (subjects::event("batch_redeemed"), "ab-1"));
        assert_eq!(whole.headers.get(POSITION).map(|value| value.as_str().to_owned()), Some("7".into()));
        let told: Value = serde_json::from_str(&whole.line).expect("JSON");
        assert_eq!(told["fields"], json!({ "payee": "p", "claims": [{ "through": 3 }] }));
        let size = whole.line.len();
        assert_eq!(message(line.clone(), size).line, whole.line);
        let told: Value = serde_json::from_str(&message(line, size - 1).line).expect("JSON");
        assert_eq!((&told["fields"], &told["fields_bytes"]), (&Value::Null, &size.into()));
        assert_eq!((&told["position"], &told["event"]), (&7.into(), &"batch_redeemed".into()));
    }
}
