//! Notices: the broker publishes who is suspended and which keys are good; an index listens.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use futures::StreamExt as _;
use netpay_protocol::ids::PeerId;
use netpay_protocol::subjects::{self, BrokerOp};
use netpay_protocol::wire;
use tokio::task::JoinHandle;

use crate::actors::index::ToIndex;
use crate::actors::runtime::Address;
use crate::actors::verify::Desk;

/// How often an unchanged list is published again.
const REPEAT: Duration = Duration::from_secs(60);
/// How soon a changed one is.
const LOOK: Duration = Duration::from_millis(500);

/// Publishes the lists: at once, when the suspended change, and every minute.
pub fn publish(client: Client, desk: Arc<Desk>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut shown = None;
        let mut due = tokio::time::Instant::now();
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            let at = Arc::clone(&desk);
            let Ok(list) = tokio::task::spawn_blocking(move || at.revocations()).await else {
                continue;
            };
            let now = tokio::time::Instant::now();
            if shown.as_ref() == Some(&list.content.peers) && now < due {
                continue;
            }
            let keys = client.publish(subjects::NOTICE_KEYS, wire::encode(&desk.keys.list).into()).await;
            let revoked = client.publish(subjects::NOTICE_REVOKED, wire::encode(&list).into()).await;
            if keys.and(revoked).is_ok() {
                shown = Some(list.content.peers);
                due = now + REPEAT;
            }
        }
    })
}

/// Passes the broker's notices to the index, and asks for them whenever the broker may have come back.
pub async fn listen(client: Client, me: PeerId, index: Address<ToIndex>) -> anyhow::Result<JoinHandle<()>> {
    let mut keys = client.subscribe(subjects::NOTICE_KEYS).await?;
    let mut revoked = client.subscribe(subjects::NOTICE_REVOKED).await?;
    let mut ask = tokio::time::interval(REPEAT);
    Ok(tokio::spawn(async move {
        loop {
            tokio::select! {
                Some(message) = keys.next() => pass_keys(&index, &message.payload),
                Some(message) = revoked.next() => pass_revoked(&index, &message.payload),
                _ = ask.tick() => {
                    let asked = |op| client.request(subjects::request(me, op), "".into());
                    if let Ok(message) = asked(BrokerOp::Keys).await {
                        pass_keys(&index, &message.payload);
                    }
                    if let Ok(message) = asked(BrokerOp::Notices).await {
                        pass_revoked(&index, &message.payload);
                    }
                    // A full queue misses one sweep.
                    let _ = index.try_send(ToIndex::Sweep);
                }
                else => break,
            }
        }
    }))
}

// The next notice comes within a minute: one that finds the queue full is not missed.

fn pass_keys(index: &Address<ToIndex>, payload: &[u8]) {
    if let Ok(list) = wire::decode(payload) {
        let _ = index.try_send(ToIndex::Keys(Box::new(list)));
    }
}

fn pass_revoked(index: &Address<ToIndex>, payload: &[u8]) {
    if let Ok(list) = wire::decode(payload) {
        let _ = index.try_send(ToIndex::Revoked(Box::new(list)));
    }
}
