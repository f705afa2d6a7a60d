//! What comes from other peers and from the broker while this peer serves.

use futures::{Stream, StreamExt as _};
use netpay_protocol::ids::PeerId;
use netpay_protocol::problem::Problem;
use netpay_protocol::subjects::{self, PeerOp};

use super::Net;
use crate::ports::CallError;

/// A request of another peer.
pub struct Incoming {
    /// The sender's token in the subject.
    pub from: PeerId,
    /// What it wants.
    pub op: PeerOp,
    /// The message.
    pub bytes: Vec<u8>,
    reply: Option<async_nats::Subject>,
}

impl Incoming {
    /// Answers it.
    pub async fn answer(self, net: &Net, answer: Result<Vec<u8>, Problem>) {
        net.answer(self.reply, answer).await;
    }
}

/// A notice of the broker's.
pub enum Notice {
    /// A key list.
    Keys(Vec<u8>),
    /// A revocation list.
    Revoked(Vec<u8>),
}

/// Everything that a serving peer listens to.
pub struct Listening<S = async_nats::Subscriber> {
    peers: S,
    keys: S,
    revoked: S,
}

/// One thing that came.
pub enum Event {
    /// A request of another peer.
    Request(Incoming),
    /// A notice of the broker's.
    Notice(Notice),
}

impl Listening {
    /// Subscribes to requests and notices; returns when the server has them.
    pub async fn start(net: &Net) -> Result<Self, CallError> {
        let listening = Self {
            peers: net.listen(subjects::any_peer(net.me)).await?,
            keys: net.listen(subjects::NOTICE_KEYS.into()).await?,
            revoked: net.listen(subjects::NOTICE_REVOKED.into()).await?,
        };
        net.settle().await?;
        Ok(listening)
    }

    /// Takes no more; what already came is still answered by [`Listening::next`].
    pub async fn stop(&mut self) {
        for subscriber in [&mut self.peers, &mut self.keys, &mut self.revoked] {
            if let Err(error) = subscriber.drain().await {
                tracing::debug!(%error, "cannot drain a subscription");
            }
        }
    }
}

impl<S: Stream<Item = async_nats::Message> + Unpin> Listening<S> {
    /// The next thing that came; `None` when the connection is gone for good, or what came before `stop` is done.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                message = self.peers.next() => {
                    let message = message?;
                    // A subject that names no peer or operation has no sender to answer to.
                    if let Some((from, op)) = subjects::peer_sender(&message.subject) {
                        return Some(Event::Request(Incoming {
                            from,
                            op,
                            bytes: message.payload.to_vec(),
                            reply: message.reply,
                        }));
                    }
                }
                // These may end before the requests do, when stopping.
                Some(message) = self.keys.next() => {
                    return Some(Event::Notice(Notice::Keys(message.payload.to_vec())));
                }
                Some(message) = self.revoked.next() => {
                    return Some(Event::Notice(Notice::Revoked(message.payload.to_vec())));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn requests_that_came_before_the_stop_are_answered_although_the_notices_have_ended() {
        let peer = PeerId([1; 16]);
        let request = async_nats::Message {
            subject: subjects::peer(peer, peer, PeerOp::Quote).into(),
            reply: None,
            payload: bytes::Bytes::new(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        };
        for _ in 0..50 {
            let mut listening = Listening {
                peers: stream::iter(vec![request.clone(); 3]),
                keys: stream::iter(vec![]),
                revoked: stream::iter(vec![]),
            };
            let mut heard = 0;
            while listening.next().await.is_some() {
                heard += 1;
            }
            assert_eq!(heard, 3);
        }
    }
}
