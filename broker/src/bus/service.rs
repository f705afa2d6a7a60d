//! Requests off NATS, answers back: the NATS service protocol (`$SRV.PING`, `INFO`, `STATS`), one endpoint per operation.

use std::sync::Arc;

use async_nats::service::{NATS_SERVICE_ERROR, NATS_SERVICE_ERROR_CODE, Request, Service, ServiceExt as _};
use async_nats::{Client, HeaderMap};
use futures::StreamExt as _;
use netpay_crash_point::broker::Point;
use netpay_protocol::subjects::{self, BrokerOp, IndexOp};
use netpay_protocol::wire;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::actors::gateway::{Incoming, Op};
use crate::actors::index::ToIndex;
use crate::actors::refusals::busy;
use crate::actors::runtime::{Address, Full};
use crate::ports::reply::{Answer, InFlight};
use crate::ports::{Observe, Reply};

/// What every endpoint shares.
#[derive(Clone)]
pub struct Bus {
    /// The connection.
    pub client: Client,
    /// Where answers are counted.
    pub observe: Arc<dyn Observe>,
    /// What a stopping program waits for.
    pub in_flight: InFlight,
}

/// A running service; dropping it ends the endpoints.
pub struct Running {
    service: Service,
    endpoints: Vec<JoinHandle<()>>,
}

impl Running {
    /// Takes no more requests.
    pub async fn stop(self) {
        if let Err(error) = self.service.stop().await {
            tracing::warn!("NATS service did not stop cleanly: {error}");
        }
        self.endpoints.iter().for_each(JoinHandle::abort);
    }
}

impl Bus {
    /// Serves the broker's subjects.
    pub async fn serve_broker(&self, gateway: Address<Incoming>) -> anyhow::Result<Running> {
        let mut endpoints = vec![("register", subjects::REGISTER.to_owned(), None)];
        endpoints.extend(BrokerOp::ALL.iter().map(|op| (op.token(), subjects::any_request(*op), Some(*op))));
        let service = self.start("netpay-broker", "P2P-NetPay broker").await?;
        let mut running = Running { service, endpoints: Vec::new() };
        for (name, subject, op) in endpoints {
            let to = gateway.clone();
            self.listen(&mut running, name, subject, move |subject, payload, reply| {
                let op = op.map_or(Op::Register, |op| Op::Peer(subjects::sender(subject), op));
                hand_over(&to, Incoming { op, payload, reply });
            })
            .await?;
        }
        self.listen(&mut running, "admin", subjects::admin("*"), move |subject, payload, reply| {
            let op = subject.rsplit('.').next().unwrap_or_default().to_owned();
            hand_over(&gateway, Incoming { op: Op::Admin(op), payload, reply });
        })
        .await?;
        Ok(running)
    }

    /// Serves the index's subjects.
    pub async fn serve_index(&self, index: Address<ToIndex>) -> anyhow::Result<Running> {
        let service = self.start("netpay-index", "P2P-NetPay Central Indexing Server").await?;
        let mut running = Running { service, endpoints: Vec::new() };
        for op in IndexOp::ALL.iter().copied() {
            let to = index.clone();
            self.listen(&mut running, op.token(), subjects::any_index(op), move |subject, payload, reply| {
                let request = ToIndex::Request(subjects::sender(subject), op, payload, reply);
                if let Err(Full(ToIndex::Request(_, _, _, reply))) = to.try_send(request) {
                    reply.problem(busy());
                }
            })
            .await?;
        }
        Ok(running)
    }

    async fn start(&self, name: &str, description: &str) -> anyhow::Result<Service> {
        let builder = self.client.service_builder().description(description);
        builder.start(name, env!("CARGO_PKG_VERSION")).await.map_err(|error| anyhow::anyhow!("NATS service: {error}"))
    }

    async fn listen(
        &self,
        running: &mut Running,
        op: &'static str,
        subject: String,
        take: impl Fn(&str, Vec<u8>, Reply) + Send + 'static,
    ) -> anyhow::Result<()> {
        let builder = running.service.endpoint_builder().name(op);
        let mut endpoint =
            builder.add(subject).await.map_err(|error| anyhow::anyhow!("NATS endpoint {op}: {error}"))?;
        let bus = self.clone();
        running.endpoints.push(tokio::spawn(async move {
            while let Some(request) = endpoint.next().await {
                let subject = request.message.subject.to_string();
                let payload = request.message.payload.to_vec();
                take(&subject, payload, bus.reply(op, request));
            }
        }));
        Ok(())
    }

    fn reply(&self, op: &'static str, request: Request) -> Reply {
        let runtime = Handle::current();
        Reply::new(op, Arc::clone(&self.observe), self.in_flight.clone(), move |answer| {
            runtime.spawn(async move {
                if let Err(error) = respond(&request, answer).await {
                    tracing::warn!("an answer could not be sent: {error}");
                }
                Point::AnswerSent.reached();
            });
        })
    }
}

/// Passes a message to the gateway. A full one is an answer, too.
pub(super) fn hand_over(gateway: &Address<Incoming>, incoming: Incoming) {
    if let Err(Full(incoming)) = gateway.try_send(incoming) {
        incoming.reply.problem(busy());
    }
}

/// Problems travel as a body too, for programs; the service headers tell any NATS tool.
async fn respond(request: &Request, answer: Answer) -> Result<(), async_nats::PublishError> {
    match answer {
        Ok(bytes) => request.respond(Ok(bytes.into())).await,
        Err(problem) => {
            let mut headers = HeaderMap::new();
            headers.insert(NATS_SERVICE_ERROR, problem.kind.name());
            headers.insert(NATS_SERVICE_ERROR_CODE, problem.kind.code().to_string());
            request.respond_with_headers(Ok(wire::encode(&problem).into()), headers).await
        }
    }
}
