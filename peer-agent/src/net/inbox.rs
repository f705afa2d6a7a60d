//! Leaving a message in JetStream, and what its acknowledgement means.

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::{self, ErrorCode, message::PublishMessage};
use bytes::Bytes;
use netpay_protocol::limits::MAX_MESSAGE_BYTES;
use netpay_protocol::subjects;

use super::Net;
use crate::ports::inbox::{Inbox, Left, NotLeft};

/// The stream that a broker makes for its inbox. Another one that takes the same subject is nobody's inbox.
const STREAM: &str = "NETPAY_REDEEM";

/// What a stream says that discards what is new and is at a limit: as many messages as one subject may have, as many bytes
/// as there may be; and a server without room.
const FULL: [ErrorCode; 4] = [
    ErrorCode::STREAM_STORE_FAILED,
    ErrorCode::INSUFFICIENT_RESOURCES,
    ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
    ErrorCode::STORAGE_RESOURCES_EXCEEDED,
];

impl Inbox for Net {
    async fn leave(&self, message: Vec<u8>, id: &str) -> Result<Left, NotLeft> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(NotLeft::Refused(format!("the message has {} bytes", message.len())));
        }
        let message = PublishMessage::build().payload(Bytes::from(message)).message_id(id).expected_stream(STREAM);
        let sent = jetstream::new(self.client.clone()).send_publish(subjects::inbox(self.me), message).await;
        // That it was sent says nothing: the acknowledgement does.
        let stored = sent.map_err(|error| meaning(&error))?.await.map_err(|error| meaning(&error))?;
        if stored.stream == STREAM { Ok(Left { before: stored.duplicate }) } else { Err(NotLeft::NoInbox) }
    }
}

fn meaning(error: &PublishError) -> NotLeft {
    let why = std::error::Error::source(error);
    let said = why.and_then(|why| why.downcast_ref::<jetstream::Error>());
    match error.kind() {
        PublishErrorKind::StreamNotFound => NotLeft::NoInbox,
        PublishErrorKind::MaxPayloadExceeded => NotLeft::Refused(error.to_string()),
        PublishErrorKind::Other => match said {
            Some(said) if said.error_code() == ErrorCode::STREAM_NOT_MATCH => NotLeft::NoInbox,
            Some(said) if FULL.contains(&said.error_code()) => NotLeft::Full(said.to_string()),
            Some(said) => NotLeft::Refused(said.to_string()),
            None => NotLeft::Silence(error.to_string()),
        },
        _ => NotLeft::Silence(error.to_string()),
    }
}
