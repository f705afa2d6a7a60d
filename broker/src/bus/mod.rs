//! NATS. The only folder that knows async-nats.

pub mod admin;
pub mod events;
pub mod inbox;
mod jetstream;
pub mod link;
pub mod notices;
pub mod service;

use anyhow::{Context as _, bail};
use async_nats::{Client, ConnectOptions, ServerInfo};
use futures::StreamExt as _;

use crate::config::Config;

/// The oldest server that a deployment may have.
const OLDEST_SERVER: (u64, u64) = (2, 12);
/// How long a message to ourselves may take.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(5);

/// Nobody answers: no NATS server, or no broker on it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// Whether requests can reach us now.
pub fn is_connected(client: &Client) -> bool {
    client.connection_state() == async_nats::connection::State::Connected
}

/// Connects, or says what to do.
pub async fn connect(config: &Config, name: &str) -> anyhow::Result<Client> {
    dial(config, options(config, name).await?).await
}

async fn options(config: &Config, name: &str) -> anyhow::Result<ConnectOptions> {
    let options = match &config.nats_creds {
        Some(file) => ConnectOptions::with_credentials_file(file)
            .await
            .with_context(|| format!("cannot read NATS credentials {}", file.display()))?,
        None => ConnectOptions::new(),
    };
    Ok(options.name(name).custom_inbox_prefix(format!("_INBOX.{name}")).event_callback(|event| async move {
        tracing::info!("NATS: {event}");
    }))
}

async fn dial(config: &Config, options: ConnectOptions) -> anyhow::Result<Client> {
    let url = &config.nats_url;
    let client = options
        .connect(url.as_str())
        .await
        .map_err(|error| Unreachable(format!("no NATS server at {url} ({error}); start one with: nats-server")))?;
    check_version(&client.server_info()).map(|()| client)
}

/// Waits until the server has taken in every subscription made so far. It handles one connection's messages in order, so a
/// message to ourselves that comes back is behind them all; a flush alone only says that they were sent.
pub async fn settle(client: &Client) -> anyhow::Result<()> {
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await?;
    client.publish(inbox, "".into()).await?;
    let heard = tokio::time::timeout(SETTLE, echo.next()).await;
    heard.ok().flatten().map(|_| ()).context("the NATS server does not echo; may this user subscribe to its inbox?")
}

fn check_version(server: &ServerInfo) -> anyhow::Result<()> {
    let mut numbers = server.version.split('.').map_while(|part| part.parse::<u64>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < OLDEST_SERVER {
        let (major, minor) = OLDEST_SERVER;
        bail!(
            "the NATS server is {}, too old; {major}.{minor} or newer is needed (deploy/setup.sh brings one)",
            server.version
        );
    }
    Ok(())
}
