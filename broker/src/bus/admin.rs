//! An operator's side: signed orders to a running broker, and its signed answers.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use async_nats::service::NATS_SERVICE_ERROR_CODE;
use async_nats::{Client, RequestErrorKind};
use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::ids::{Kid, RequestId};
use netpay_protocol::key_list::Purpose;
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::problem::Problem;
use netpay_protocol::query::Answer;
use netpay_protocol::{subjects, wire};
use rand_core::Rng as _;

use super::Unreachable;
use crate::config::Config;
use crate::keys::rng;
use crate::ports::now_ms;

/// How long an order lives.
const LIFE_MS: u64 = 60_000;
/// How long to wait for one answer.
const WAIT: Duration = Duration::from_secs(5);
/// How long to wait for one that takes long by its nature.
const LONG_WAIT: Duration = Duration::from_secs(50);

/// A way to a running broker.
pub struct Operator {
    client: Client,
    key: SigningKey,
    config: Config,
    wait: Duration,
}

impl Operator {
    /// Connects with the operator key of the broker's directory.
    pub async fn connect(config: &Config) -> anyhow::Result<Self> {
        let key = config.keys().signing_key("operator")?;
        let client = super::connect(config, "netpay-operator").await?;
        Ok(Self { client, key, config: config.clone(), wait: WAIT })
    }

    /// The same, for orders that take long.
    pub fn patient(self) -> Self {
        Self { wait: LONG_WAIT, ..self }
    }

    /// Gives an order. Sent again with the same id while the broker is busy, so that it is carried out once.
    pub async fn order<T>(&self, order: &Order) -> anyhow::Result<T>
    where
        T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
    {
        let mut request = RequestId::default();
        rng().fill_bytes(&mut request.0);
        let admin = Admin {
            broker: self.config.broker,
            kid: Kid::of(&self.key.public()),
            request,
            valid_until_ms: now_ms() + LIFE_MS,
            order: wire::encode(order),
        };
        let signed = Signed::new(admin, &self.key);
        let bytes = wire::encode(&signed);
        let mut pause = Duration::from_millis(100);
        loop {
            match self.send(order.op(), &bytes).await {
                Ok(payload) => return self.read(&payload, &signed.content),
                Err(error) => {
                    let passing = error.downcast_ref::<Problem>().is_some_and(|problem| problem.kind.is_passing());
                    if !passing || pause > WAIT {
                        return Err(error);
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn send(&self, op: &str, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
        let asked =
            tokio::time::timeout(self.wait, self.client.request(subjects::admin(op), bytes.to_vec().into())).await;
        let url = &self.config.nats_url;
        let message = match asked {
            Ok(Ok(message)) => message,
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
                let dir = self.config.dir.display();
                return Err(Unreachable(format!(
                    "the broker is not running at {url}; start it with: netpay-broker serve --config {dir}"
                ))
                .into());
            }
            Ok(Err(error)) => {
                return Err(Unreachable(format!("the broker cannot be reached at {url}: {error}")).into());
            }
            Err(_) => {
                bail!(Unreachable(format!("the broker did not answer at {url} within {} s", self.wait.as_secs())))
            }
        };
        if message.headers.as_ref().is_some_and(|headers| headers.get(NATS_SERVICE_ERROR_CODE).is_some()) {
            let problem: Problem = wire::decode(&message.payload).context("the broker's answer is not understood")?;
            return Err(problem.into());
        }
        Ok(message.payload.to_vec())
    }

    /// Believes an answer only if the broker signed it, for this very order.
    fn read<T>(&self, payload: &[u8], asked: &Admin) -> anyhow::Result<T>
    where
        T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
    {
        let answer: Signed<Answer> = wire::decode(payload).context("the broker's answer is not understood")?;
        let keys = self.config.keys().read_list(self.config.broker)?.verify(self.config.broker)?;
        let key = keys.find(answer.content.kid, Purpose::Statement, answer.content.issued_at_ms);
        let content = answer.verify(&key.context("the answer is signed by a key that is not the broker's")?)?;
        ensure!(content.about == asked.digest(), "the answer is to another order");
        wire::decode(&content.body).context("the broker's answer is not understood")
    }
}
