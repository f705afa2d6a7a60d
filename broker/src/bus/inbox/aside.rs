//! Setting aside: a message of the inbox that can never be settled is kept where an operator sees it, with the reason, and
//! only then acknowledged.

use anyhow::Context as _;
use async_nats::HeaderMap;
use async_nats::jetstream::{Context, Message, message::PublishMessage};
use netpay_protocol::subjects;

use super::streams::ASIDE;

/// Why, as programs read it.
pub const REASON: &str = "Netpay-Reason";
/// Why, in words.
pub const TEXT: &str = "Netpay-Reason-Text";
/// The subject that it came on.
pub const SUBJECT: &str = "Netpay-Subject";
/// When the inbox stored it.
pub const STORED_MS: &str = "Netpay-Stored-Ms";
/// How often it was delivered.
pub const DELIVERED: &str = "Netpay-Delivered";

/// The most of a text that goes into a header.
const MOST_TEXT: usize = 400;

/// Returns when the copy is stored. A crash after it sets the same message aside once more: once within the streams'
/// duplicate window, twice at worst.
pub async fn set(context: &Context, message: &Message, reason: &'static str, text: &str) -> anyhow::Result<()> {
    let info = message.info().map_err(|error| anyhow::anyhow!("not a message of the inbox: {error}"))?;
    let stored_ms = super::ms(info.published);
    let mut headers = HeaderMap::new();
    headers.insert(REASON, reason);
    headers.insert(TEXT, one_line(text));
    headers.insert(SUBJECT, message.subject.as_str());
    headers.insert(STORED_MS, stored_ms.to_string());
    headers.insert(DELIVERED, info.delivered.to_string());
    let copy = PublishMessage::build()
        .headers(headers)
        .payload(message.payload.clone())
        .message_id(format!("{}-{stored_ms}", info.stream_sequence))
        .expected_stream(ASIDE);
    let subject = subjects::aside(subjects::sender(&message.subject));
    // Without the acknowledgement nothing is known to be stored.
    context.send_publish(subject, copy).await?.await.context("what was set aside was not stored")?;
    Ok(())
}

/// Headers end at the end of a line, and the text may quote a stranger.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(MOST_TEXT).collect()
}
