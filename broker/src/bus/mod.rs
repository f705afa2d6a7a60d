//! NATS. The only folder that knows async-nats.

pub mod admin;
pub mod notices;
pub mod service;

use anyhow::{Context as _, bail};
use async_nats::{Client, ConnectOptions, ServerInfo};

use crate::config::Config;

/// The oldest server that a deployment may have.
const OLDEST_SERVER: (u64, u64) = (2, 12);

/// Connects, or says what to do.
pub async fn connect(config: &Config, name: &str) -> anyhow::Result<Client> {
    let url = &config.nats_url;
    let mut options = match &config.nats_creds {
        Some(file) => ConnectOptions::with_credentials_file(file)
            .await
            .with_context(|| format!("cannot read NATS credentials {}", file.display()))?,
        None => ConnectOptions::new(),
    };
    options = options.name(name).custom_inbox_prefix(format!("_INBOX.{name}")).event_callback(|event| async move {
        tracing::info!("NATS: {event}");
    });
    let client = options
        .connect(url.as_str())
        .await
        .with_context(|| format!("no NATS server at {url}; start one with: nats-server"))?;
    check_version(&client.server_info()).map(|()| client)
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
