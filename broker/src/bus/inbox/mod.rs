//! The inbox: batches that peers left in JetStream, taken the way of any request (ADR 11).
//!
//! A message is acknowledged after its batch is committed, or found to change nothing; before that it comes again, here or
//! at another node of the same broker. Taking a batch twice is what the ledger is made for: its request id is looked up.
//! Decides nothing about money, and the ledger would be right without it.

mod aside;
pub mod look;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{AckKind, Context, Message};
use futures::StreamExt as _;
use netpay_crash_point::inbox::Point;
use netpay_protocol::limits::MAX_MESSAGE_BYTES;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::subjects::{self, BrokerOp};
use time::OffsetDateTime;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::jetstream;
use super::service::{Bus, hand_over};
use crate::actors::drained::Drained;
use crate::actors::gateway::{Incoming, Op};
use crate::actors::refusals::again;
use crate::actors::runtime::Address;
use crate::config;
use crate::ports::reply::Answer;
use crate::ports::{Reply, now_ms};

/// Messages at work at once: they leave room in every queue for those who wait for an answer.
const MOST_AT_WORK: usize = 16;
/// How long to wait for so many.
const ROUND: Duration = Duration::from_secs(5);
/// How often JetStream is told that a message is still at work: often enough to be in time.
const PROGRESS: Duration = Duration::from_secs(streams::ACK_WAIT.as_secs() / 3);
/// How often it is looked at what waits.
const LOOK: Duration = Duration::from_secs(2);
/// After a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a message is tried. With the pauses between, that is some hours of a broker that is too busy for it.
const MOST_DELIVERIES: i64 = 32;
/// The longest of these pauses.
const MOST_PAUSE: Duration = Duration::from_secs(600);

/// The inbox, checked, and not taken from yet.
#[derive(Clone)]
pub struct Inbox {
    context: Context,
    waiting: Stream,
    aside: Stream,
    consumer: PullConsumer,
    drained: Arc<Drained>,
    bus: Bus,
}

/// An inbox that is taken from.
pub struct Working {
    stop: watch::Sender<bool>,
    taking: JoinHandle<()>,
    looking: JoinHandle<()>,
}

impl Inbox {
    /// Makes or checks the streams; `None` if there is to be no inbox. From then on refunds wait for what lies in it.
    pub async fn open(bus: &Bus, wish: config::Inbox, drained: Arc<Drained>) -> anyhow::Result<Option<Self>> {
        if wish.enabled == Some(false) {
            return Ok(None);
        }
        let Some(context) = jetstream::find(&bus.client).await? else {
            if wish.enabled == Some(true) {
                bail!(
                    "inbox: enabled = true, and the NATS server has no JetStream; start it with: nats-server -js, or set \
                     enabled = false"
                );
            }
            tracing::info!(
                "no inbox: the NATS server has no JetStream (nats-server -js); peers redeem by request and reply"
            );
            return Ok(None);
        };
        let most = bus.client.server_info().max_payload;
        let needed = MAX_MESSAGE_BYTES + streams::ASIDE_HEADER_BYTES;
        ensure!(most >= needed, "inbox: the NATS server's max_payload is {most}, and {needed} bytes are needed");
        let waiting = jetstream::stream(&context, streams::inbox(wish.replicas)).await.context("inbox")?;
        let aside = jetstream::stream(&context, streams::aside(wish.replicas)).await.context("inbox")?;
        let consumer = jetstream::consumer(&waiting, streams::consumer()).await.context("inbox")?;
        drained.set(0);
        Ok(Some(Self { context, waiting, aside, consumer, drained, bus: bus.clone() }))
    }

    /// Takes what is there, and what comes.
    pub fn work(self, gateway: Address<Incoming>) -> Working {
        let (stop, stopping) = watch::channel(false);
        let looking = tokio::spawn(self.clone().look_again());
        let taking = tokio::spawn(self.take(gateway, stopping));
        Working { stop, taking, looking }
    }

    async fn take(self, gateway: Address<Incoming>, mut stopping: watch::Receiver<bool>) {
        let inbox = Arc::new(self);
        let mut at_work = JoinSet::new();
        while !*stopping.borrow() {
            let round = inbox.consumer.batch().max_messages(MOST_AT_WORK).expires(ROUND).messages().await;
            let mut round = match round {
                Ok(round) => round,
                Err(error) => {
                    tracing::warn!("the inbox cannot be read, and is tried again: {error}");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            loop {
                let next = tokio::select! {
                    next = round.next() => next,
                    _ = stopping.changed() => None,
                };
                match next {
                    Some(Ok(message)) => {
                        at_work.spawn(Arc::clone(&inbox).handle(message, gateway.clone()));
                    }
                    Some(Err(error)) => {
                        tracing::warn!("the inbox cannot be read, and is tried again: {error}");
                        tokio::time::sleep(PAUSE).await;
                        break;
                    }
                    None => break,
                }
            }
            while at_work.join_next().await.is_some() {}
        }
    }

    async fn handle(self: Arc<Self>, message: Message, gateway: Address<Incoming>) {
        let delivered = message.info().map_or(1, |info| info.delivered);
        let fate = if delivered > MOST_DELIVERIES {
            Fate::Aside("delivered_too_often", format!("tried {MOST_DELIVERIES} times and settled none of them"))
        } else {
            fate(self.ask(&message, &gateway).await)
        };
        let acknowledged = match fate {
            Fate::Settled => {
                Point::Settled.reached();
                self.acknowledge(&message, "settled", "").await
            }
            Fate::Rejected(problem) => {
                tracing::info!("a batch of the inbox was rejected ({}): {}", message.subject, problem.text);
                self.acknowledge(&message, "rejected", problem.kind.name()).await
            }
            Fate::Later(problem) => self.later(&message, delivered, problem.kind.name()).await,
            Fate::Aside(reason, text) => {
                tracing::warn!("a message of the inbox is set aside ({}): {reason}: {text:?}", message.subject);
                match aside::set(&self.context, &message, reason, &text).await {
                    Ok(()) => {
                        Point::SetAside.reached();
                        self.acknowledge(&message, "set_aside", reason).await
                    }
                    Err(error) => {
                        tracing::warn!("it stays in the inbox: {error:#}");
                        self.later(&message, delivered, "aside_failed").await
                    }
                }
            }
        };
        // Whatever could not be said to JetStream, the message comes again.
        if let Err(error) = acknowledged {
            tracing::warn!("a message of the inbox will come again: {error}");
        }
    }

    /// Passes a message on like any request, and waits for what comes of it.
    async fn ask(&self, message: &Message, gateway: &Address<Incoming>) -> Answer {
        let (answered, mut answer) = oneshot::channel();
        let reply = Reply::new("inbox", Arc::clone(&self.bus.observe), self.bus.in_flight.clone(), move |answer| {
            // Nobody waits any more: the program is stopping.
            let _ = answered.send(answer);
        });
        let op = Op::Peer(subjects::sender(&message.subject), BrokerOp::Redeem);
        hand_over(gateway, Incoming { op, payload: message.payload.to_vec(), reply });
        loop {
            match tokio::time::timeout(PROGRESS, &mut answer).await {
                Ok(answer) => return answer.unwrap_or_else(|_| Err(again())),
                Err(_) => {
                    if let Err(error) = message.ack_with(AckKind::Progress).await {
                        tracing::debug!("JetStream was not told that a message is at work: {error}");
                    }
                }
            }
        }
    }

    async fn acknowledge(
        &self,
        message: &Message,
        outcome: &'static str,
        reason: &'static str,
    ) -> Result<(), async_nats::Error> {
        self.bus.observe.inbox_handled(outcome, reason);
        message.double_ack().await
    }

    async fn later(&self, message: &Message, delivered: i64, reason: &'static str) -> Result<(), async_nats::Error> {
        self.bus.observe.inbox_handled("later", reason);
        message.ack_with(AckKind::Nak(Some(pause(delivered)))).await
    }

    /// Keeps the gauges, and the time that refunds wait for. When JetStream does not answer that time stands still.
    async fn look_again(self) {
        let mut every = tokio::time::interval(LOOK);
        loop {
            every.tick().await;
            let before_ms = now_ms();
            let (Ok(waiting), Ok(aside)) = (self.waiting.get_info().await, self.aside.get_info().await) else {
                continue;
            };
            // Of a work queue what is acknowledged is gone: its first message is the oldest that is not settled.
            let oldest_ms =
                if waiting.state.messages == 0 { before_ms } else { ms(waiting.state.first_timestamp).min(before_ms) };
            self.drained.set(oldest_ms);
            let oldest = Duration::from_millis(before_ms - oldest_ms);
            self.bus.observe.inbox(waiting.state.messages, oldest, aside.state.messages);
        }
    }
}

impl Working {
    /// Takes no more, and finishes what is at work.
    pub async fn stop(self) {
        self.looking.abort();
        // It is gone already if the loop has ended, which it does not by itself.
        let _ = self.stop.send(true);
        if let Err(error) = self.taking.await {
            tracing::warn!("the inbox did not stop cleanly: {error}");
        }
    }
}

/// What is to be done with a message.
#[derive(PartialEq, Eq, Debug)]
enum Fate {
    /// Committed, or nothing in it changes anything.
    Settled,
    /// The batch as a whole is refused, now and whenever it comes: its peer hears of it when it asks.
    Rejected(Problem),
    /// Not now.
    Later(Problem),
    /// It can never be a batch of the peer that its subject names.
    Aside(&'static str, String),
}

fn fate(answer: Answer) -> Fate {
    let Err(problem) = answer else { return Fate::Settled };
    match problem.kind {
        kind if kind.is_passing() => Fate::Later(problem),
        Kind::Malformed | Kind::TooLarge | Kind::NotForMe | Kind::BadSignature | Kind::NotFound => {
            Fate::Aside(problem.kind.name(), problem.text)
        }
        _ => Fate::Rejected(problem),
    }
}

/// A second, two, four: after a broker that was too busy comes one that has time.
fn pause(delivered: i64) -> Duration {
    let times = u32::try_from(delivered.saturating_sub(1)).unwrap_or(u32::MAX).min(10);
    Duration::from_secs(1 << times).min(MOST_PAUSE)
}

/// JetStream's time, as we count it.
fn ms(time: OffsetDateTime) -> u64 {
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_only_when_its_batch_is_settled_or_never_can_be() {
        assert_eq!(fate(Ok(vec![])), Fate::Settled);
        for kind in [Kind::Busy, Kind::Unavailable] {
            assert!(matches!(fate(Err(Problem::new(kind, "no"))), Fate::Later(_)), "{kind:?}");
        }
        for kind in [Kind::Malformed, Kind::TooLarge, Kind::NotForMe, Kind::BadSignature, Kind::NotFound] {
            assert_eq!(fate(Err(Problem::new(kind, "no"))), Fate::Aside(kind.name(), "no".into()));
        }
        for kind in [Kind::RequestIdReused, Kind::Fork] {
            assert!(matches!(fate(Err(Problem::new(kind, "no"))), Fate::Rejected(_)), "{kind:?}");
        }
    }

    #[test]
    fn pauses_grow_to_ten_minutes() {
        let seconds = |delivered| pause(delivered).as_secs();
        assert_eq!([1, 2, 3, 10, 11, 32, i64::MAX].map(seconds), [1, 2, 4, 512, 600, 600, 600]);
    }
}
