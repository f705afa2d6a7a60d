//! The NATS adapter: the only part that uses `async-nats`.
//!
//! Carries bytes and tells silence from problems. Knows no store, and believes nothing that it carries.

mod call;
pub mod connect;
mod inbox;
pub mod server;

use bytes::Bytes;
use futures::StreamExt as _;
use netpay_protocol::certificate::Certificate;
use netpay_protocol::ids::PeerId;
use netpay_protocol::layout::Signed;
use netpay_protocol::messages::{Account, Announce, Done, Hits, Search, TakeBack};
use netpay_protocol::register::Register;
use netpay_protocol::subjects::{self, BrokerOp, IndexOp, PeerOp};
use netpay_protocol::wire;

use crate::ports::{Broker, CallError, Supplier};

/// How long the server may take to take something in.
const FLUSH: std::time::Duration = std::time::Duration::from_secs(2);

/// A connection, as one peer.
#[derive(Clone)]
pub struct Net {
    client: async_nats::Client,
    me: PeerId,
}

/// The way to another peer.
pub struct ToPeer {
    net: Net,
    to: PeerId,
}

impl Net {
    /// The way to another peer.
    pub fn to_peer(&self, to: PeerId) -> ToPeer {
        ToPeer { net: self.clone(), to }
    }

    /// Opens an account.
    pub async fn register(&self, register: &Signed<Register>) -> Result<Account, CallError> {
        self.exchange(subjects::REGISTER.into(), register).await
    }

    /// Finds content.
    pub async fn search(&self, search: &Search) -> Result<Hits, CallError> {
        self.exchange(subjects::index(self.me, IndexOp::Search), search).await
    }

    /// Offers content.
    pub async fn announce(&self, announce: &Announce) -> Result<Done, CallError> {
        self.exchange(subjects::index(self.me, IndexOp::Announce), announce).await
    }

    /// Takes an offer back.
    pub async fn withdraw(&self, back: &TakeBack) -> Result<Done, CallError> {
        self.exchange(subjects::index(self.me, IndexOp::Withdraw), back).await
    }

    /// Shows the index the broker's word on this peer's key.
    pub async fn certify(&self, certificate: &Signed<Certificate>) -> Result<Done, CallError> {
        self.exchange(subjects::index(self.me, IndexOp::Certify), certificate).await
    }

    async fn exchange<A, B>(&self, subject: String, message: &A) -> Result<B, CallError>
    where
        A: minicbor::Encode<()>,
        B: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
    {
        let answer = call::request(&self.client, subject, wire::encode(message)).await?;
        wire::decode(&answer).map_err(|error| CallError::Unreadable(error.to_string()))
    }

    /// What comes on a subject, until the connection ends.
    pub async fn listen(&self, subject: String) -> Result<async_nats::Subscriber, CallError> {
        self.client.subscribe(subject).await.map_err(|error| CallError::Silence(error.to_string()))
    }

    /// Answers a request.
    pub async fn answer(
        &self,
        to: Option<async_nats::Subject>,
        answer: Result<Vec<u8>, netpay_protocol::problem::Problem>,
    ) {
        let Some(to) = to else { return };
        let sent = match answer {
            Ok(bytes) => self.client.publish(to, Bytes::from(bytes)).await,
            Err(problem) => {
                self.client.publish_with_headers(to, call::headers(&problem), Bytes::from(wire::encode(&problem))).await
            }
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "an answer could not be sent");
        }
    }

    /// Waits until everything that was published has left.
    pub async fn flush(&self) {
        // Without a server it would wait for one.
        match tokio::time::timeout(FLUSH, self.client.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "not everything was sent"),
            Err(_) => tracing::warn!("not everything was sent: NATS is away"),
        }
    }

    /// Waits until the server has taken in every subscription made so far: it handles a connection's messages in order, so
    /// that a message to ourselves comes back behind them. A flush only says that they were sent.
    pub async fn settle(&self) -> Result<(), CallError> {
        let inbox = self.client.new_inbox();
        let mut echo = self.listen(inbox.clone()).await?;
        if self.client.publish(inbox, Bytes::new()).await.is_ok() {
            let _ = tokio::time::timeout(FLUSH, echo.next()).await;
        }
        Ok(())
    }
}

impl Broker for Net {
    async fn ask(&self, op: BrokerOp, message: Vec<u8>) -> Result<Vec<u8>, CallError> {
        call::request(&self.client, subjects::request(self.me, op), message).await
    }
}

impl Supplier for ToPeer {
    async fn ask(&self, op: PeerOp, message: Vec<u8>) -> Result<Vec<u8>, CallError> {
        let subject = subjects::peer(self.to, self.net.me, op);
        call::request(&self.net.client, subject, message).await
    }
}
