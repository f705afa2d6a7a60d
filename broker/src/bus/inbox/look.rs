//! An operator's view of the inbox: what waits, what was set aside and why. Reads JetStream itself, so that it also shows
//! what lies there while no broker serves. Removes nothing but what was set aside.

use anyhow::Context as _;
use async_nats::HeaderMap;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use async_nats::jetstream::{Context, ErrorCode, context::GetStreamErrorKind};

use super::aside::{DELIVERED, REASON, STORED_MS, SUBJECT, TEXT};
use super::streams::{ASIDE, INBOX};
use crate::bus::{self, Unreachable, jetstream};
use crate::config::Config;

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shelf {
    /// What peers left and nobody has settled.
    Waiting,
    /// What was set aside.
    Aside,
}

/// Why a message was set aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Why {
    /// For programs.
    pub reason: String,
    /// In words.
    pub text: String,
    /// How often it was delivered before.
    pub delivered: u64,
    /// When.
    pub at_ms: u64,
}

/// A message as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Its number in the stream, by which it is shown and dropped.
    pub number: u64,
    /// The subject that it was left under.
    pub subject: String,
    /// When it was left.
    pub stored_ms: u64,
    /// The message.
    pub payload: Vec<u8>,
    /// Why it was set aside, if it was.
    pub why: Option<Why>,
}

/// A way to the streams.
pub struct Look(Context);

impl Look {
    /// Connects as an operator.
    pub async fn connect(config: &Config) -> anyhow::Result<Self> {
        let client = bus::connect(config, "netpay-operator").await?;
        let url = &config.nats_url;
        let context = jetstream::find(&client).await?;
        let none = || Unreachable(format!("the NATS server at {url} has no JetStream; start it with: nats-server -js"));
        Ok(Self(context.ok_or_else(none)?))
    }

    /// `None` if no broker has made it yet.
    async fn stream(&self, shelf: Shelf) -> anyhow::Result<Option<Stream>> {
        let name = match shelf {
            Shelf::Waiting => INBOX,
            Shelf::Aside => ASIDE,
        };
        match self.0.get_stream(name).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(why) if why.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
                _ => Err(error).with_context(|| format!("JetStream stream {name} cannot be read")),
            },
        }
    }

    /// Shows the oldest messages, at most so many; answers how many there are. `None` if there is no inbox.
    pub async fn each(
        &self,
        shelf: Shelf,
        most: usize,
        visit: &mut (dyn FnMut(Kept) + Send),
    ) -> anyhow::Result<Option<u64>> {
        let Some(stream) = self.stream(shelf).await? else { return Ok(None) };
        let mut from = 1;
        for _ in 0..most {
            // The next that is there: settled ones leave gaps.
            let next = stream.raw_message_builder().sequence(from).next_by_subject(">").send().await;
            let message = match next {
                Ok(message) => message,
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => break,
                Err(error) => return Err(error).context("a message cannot be read"),
            };
            from = message.sequence + 1;
            visit(kept(shelf, message));
        }
        Ok(Some(stream.cached_info().state.messages))
    }

    /// One message.
    pub async fn one(&self, shelf: Shelf, number: u64) -> anyhow::Result<Option<Kept>> {
        let Some(stream) = self.stream(shelf).await? else { return Ok(None) };
        match stream.get_raw_message(number).await {
            Ok(message) => Ok(Some(kept(shelf, message))),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(error).context("the message cannot be read"),
        }
    }

    /// Removes one that was set aside; answers what it was.
    pub async fn drop_aside(&self, number: u64) -> anyhow::Result<Option<Kept>> {
        let Some(kept) = self.one(Shelf::Aside, number).await? else { return Ok(None) };
        let Some(stream) = self.stream(Shelf::Aside).await? else { return Ok(None) };
        stream.delete_message(number).await.context("the message cannot be removed")?;
        Ok(Some(kept))
    }
}

fn kept(shelf: Shelf, message: StreamMessage) -> Kept {
    let stored_ms = super::ms(message.time);
    let (subject, payload) = (message.subject.to_string(), message.payload.to_vec());
    if shelf == Shelf::Waiting {
        return Kept { number: message.sequence, subject, stored_ms, payload, why: None };
    }
    let text = |name| header(&message.headers, name).unwrap_or_default();
    let number = |name| text(name).parse().unwrap_or_default();
    let why = Why { reason: text(REASON), text: text(TEXT), delivered: number(DELIVERED), at_ms: stored_ms };
    Kept { number: message.sequence, subject: text(SUBJECT), stored_ms: number(STORED_MS), payload, why: Some(why) }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| value.as_str().to_owned())
}
