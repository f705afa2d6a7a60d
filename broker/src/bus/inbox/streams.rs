//! The two streams of the inbox and its consumer, as they must be.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use netpay_protocol::limits::MAX_MESSAGE_BYTES;
use netpay_protocol::subjects;

/// What peers left and nobody has settled.
pub const INBOX: &str = "NETPAY_REDEEM";
/// What was set aside.
pub const ASIDE: &str = "NETPAY_REDEEM_ASIDE";
/// The consumer that all nodes of a broker share.
pub const CONSUMER: &str = "netpay-broker";

/// Batches that one peer may have waiting. An honest one has a single batch open.
const MOST_PER_PEER: i64 = 4;
/// Bytes that all peers together may have waiting.
const MOST_BYTES: i64 = 256 << 20;
/// Messages of one peer that are kept aside: a flood of them pushes out its own.
const MOST_ASIDE_PER_PEER: i64 = 16;
/// Bytes kept aside.
const MOST_ASIDE_BYTES: i64 = 64 << 20;
/// For a message id.
const HEADER_BYTES: usize = 1 << 10;
/// For what was wrong with it.
pub const ASIDE_HEADER_BYTES: usize = 8 << 10;
/// Within this time a message published again under its id is stored once.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Delivered and not yet acknowledged, all nodes together.
const MOST_UNACKNOWLEDGED: i64 = 64;
/// After so long a message is delivered again, unless its node said that it is at work on it.
pub const ACK_WAIT: Duration = Duration::from_secs(10);
/// The same, each next time.
const BACKOFF: [Duration; 3] = [ACK_WAIT, Duration::from_secs(30), Duration::from_secs(60)];

fn bytes(count: usize) -> i32 {
    i32::try_from(count).expect("a message has about 1 MB")
}

/// A full queue refuses what is new: what it took it keeps until it is settled.
pub fn inbox(replicas: usize) -> Config {
    Config {
        name: INBOX.into(),
        subjects: vec![subjects::any_inbox()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        max_messages_per_subject: MOST_PER_PEER,
        max_message_size: bytes(MAX_MESSAGE_BYTES + HEADER_BYTES),
        max_bytes: MOST_BYTES,
        ..kept(replicas)
    }
}

/// Evidence for an operator and nobody's money: a full one gives up the oldest, each peer's for itself.
pub fn aside(replicas: usize) -> Config {
    Config {
        name: ASIDE.into(),
        subjects: vec![subjects::any_aside()],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_messages_per_subject: MOST_ASIDE_PER_PEER,
        max_message_size: bytes(MAX_MESSAGE_BYTES + ASIDE_HEADER_BYTES),
        max_bytes: MOST_ASIDE_BYTES,
        ..kept(replicas)
    }
}

fn kept(replicas: usize) -> Config {
    Config {
        storage: StorageType::File,
        max_messages: -1,
        max_consumers: -1,
        duplicate_window: DUPLICATE_WINDOW,
        num_replicas: replicas,
        ..Config::default()
    }
}

/// Delivers for ever: after how many times a message is set aside is for the broker to count, since a server that gives up
/// would leave it in the queue where nobody sees it.
pub fn consumer() -> pull::Config {
    pull::Config {
        durable_name: Some(CONSUMER.into()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        backoff: BACKOFF.to_vec(),
        max_deliver: -1,
        max_ack_pending: MOST_UNACKNOWLEDGED,
        ..pull::Config::default()
    }
}
