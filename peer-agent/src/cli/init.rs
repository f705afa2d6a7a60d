//! `netpay init`: makes keys, and opens an account with the broker.

use std::path::Path;

use netpay_protocol::ids::BrokerId;
use serde_json::json;

use super::failure::Failure;
use super::passphrase::{self, Source};
use super::session::{self, Session};
use crate::home::Home;
use crate::home::config::DEFAULT_NATS_URL;
use crate::home::sealed::Work;

/// Make this peer's keys and open an account. Never writes over a home that exists.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  netpay init --broker 0123456789abcdef0123456789abcdef --nats nats://127.0.0.1:4222"
)]
pub struct Init {
    /// The broker's id, 32 hex digits, from the broker's operator. It is what this peer believes the broker by.
    #[arg(long, env = "NETPAY_BROKER", value_name = "BROKERID")]
    broker: BrokerId,
    /// Where NATS is.
    #[arg(long, env = "NATS_URL", default_value = DEFAULT_NATS_URL, value_name = "URL")]
    nats: String,
    /// Keep the keys in clear (0600), to be used without a passphrase.
    #[arg(long)]
    no_passphrase: bool,
}

impl Init {
    /// Runs it.
    pub async fn run(&self, dir: &Path, passphrase: &Source, json: bool) -> Result<(), Failure> {
        let passphrase = passphrase::for_new_keys(passphrase.given()?, self.no_passphrase)?;
        let seal = passphrase.as_ref().map(|passphrase| (passphrase, Work::FULL));
        let home = Home::create(dir, self.broker, &self.nats, seal)?;
        let store = home.store()?;
        let session = Session { home, store, json };
        let peer = session.home.identity.peer();
        let kept = |failure: Failure| {
            Failure::new(
                failure.code,
                format!(
                    "{}\nthe home at {} with peer {peer} is kept; it registers by itself with the next command, for example: netpay balance",
                    failure.text,
                    dir.display()
                ),
            )
        };
        let net = session.connect().await.map_err(kept)?;
        session.greet_broker(&net).await.map_err(kept)?;
        let object = json!({
            "peer": peer.to_string(),
            "broker": self.broker.to_string(),
            "home": dir.display().to_string(),
        });
        session::print(json, &object, || {
            format!("peer {peer}\nhome {}\nThe operator can credit this account by the peer's id.", dir.display())
        });
        Ok(())
    }
}
