//! What nearly every command needs: the home, the wallet, the clock, the connection.

use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use netpay_crash_point::agent::Point;
use netpay_protocol::ids::PeerId;
use serde_json::Value;

use super::failure::Failure;
use super::passphrase::{self, Source};
use crate::errands::patience;
use crate::errands::{self, Errands};
use crate::home::Home;
use crate::net::{Net, connect};
use crate::ports::{Slot, Slots as _};
use crate::store::Store;
use crate::wallet::broker_lists;

/// An opened home.
pub struct Session {
    /// The directory with its keys and configuration.
    pub home: Home,
    /// The wallet's database.
    pub store: Store,
    /// Whether stdout takes one JSON object.
    pub json: bool,
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Session {
    /// Opens a home.
    pub fn open(dir: &Path, passphrase: &Source, json: bool) -> Result<Self, Failure> {
        let given = passphrase.given()?;
        let home = Home::open_with(dir, || passphrase::or_ask(given))?;
        let store = home.store()?;
        Ok(Self { home, store, json })
    }

    /// Connects to NATS.
    pub async fn connect(&self) -> Result<Net, Failure> {
        let config = &self.home.config;
        Ok(connect::connect(
            &config.nats,
            config.nats_credentials.as_deref(),
            self.home.identity.nats_seed(),
            self.home.identity.peer(),
        )
        .await?)
    }

    /// Errands to the broker.
    pub fn errands<'a>(&'a self, net: &'a Net) -> Errands<'a, Net> {
        Errands {
            store: &self.store,
            me: &self.home.identity,
            broker: self.home.config.broker,
            line: net,
            now_ms: &now_ms,
        }
    }

    /// What any contact with the broker begins with: the registration if it was never answered, the broker's lists, and
    /// purchases and payouts that were never answered.
    pub async fn greet_broker(&self, net: &Net) -> Result<(), Failure> {
        self.greet_before_payouts(net).await?;
        self.finish_payouts(net).await
    }

    /// While a change of keys is not finished nobody here knows which ones the account has.
    pub fn check_keys(&self) -> Result<(), Failure> {
        if self.home.pending.is_none() {
            return Ok(());
        }
        Err(Failure::new(75, "a change of this home's keys is not finished; finish it with: netpay wallet rotate"))
    }

    /// Finishes the payouts that were never answered.
    async fn finish_payouts(&self, net: &Net) -> Result<(), Failure> {
        for result in self.errands(net).resume_payouts().await? {
            match result {
                Ok(view) => {
                    eprintln!("a payout that was pending was debited: {} units to {}", view.amount, view.destination);
                }
                Err(error) => eprintln!("a payout that was pending: {error}"),
            }
        }
        Ok(())
    }

    /// [`Session::greet_broker`], but for the payouts.
    pub async fn greet_before_payouts(&self, net: &Net) -> Result<(), Failure> {
        self.check_keys()?;
        if self.store.read(|tx| tx.slot(Slot::Registered))?.is_none() {
            self.register(net).await?;
        }
        let errands = self.errands(net);
        errands.refresh_lists().await?;
        for result in errands.resume_purchases().await? {
            match result {
                Ok(bought) => eprintln!(
                    "a purchase that was pending brought {} e-coins worth {} units",
                    bought.ecoins.len(),
                    bought.debited
                ),
                Err(error) => eprintln!("a purchase that was pending: {error}"),
            }
        }
        Ok(())
    }

    /// Registers, and keeps the key list of the answer.
    pub async fn register(&self, net: &Net) -> Result<(), Failure> {
        let (me, broker) = (&self.home.identity, self.home.config.broker);
        let register = me.register(broker);
        Point::RegisterSending.reached();
        let account = patience::BROKER
            .ask(async || net.register(&register).await)
            .await
            .map_err(|error| Failure::from(errands::Error::from(error)))?;
        Point::RegisterAnswered.reached();
        // Of keys that were changed a registration alone tells another id; it only fetches the broker's keys then.
        if account.peer != PeerId::of(&register.content.signing_key) {
            return Err(Failure::new(7, "the broker opened another peer's account"));
        }
        self.store
            .write(|tx| {
                broker_lists::take_keys(tx, broker, &account.keys)?;
                tx.put_slot(Slot::Registered, b"yes")?;
                Ok::<_, broker_lists::NotTaken>(())
            })
            .map_err(|error| Failure::new(7, error.to_string()))
    }

    /// Prints a table, which is no JSON.
    pub fn print_table(&self, table: &str) -> Result<(), Failure> {
        if self.json {
            return Err(Failure::new(2, "choose one of --json and --csv"));
        }
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(table.as_bytes());
        let _ = out.flush();
        Ok(())
    }

    /// Prints the result: the object, or what a person reads.
    pub fn print(&self, object: &Value, text: impl FnOnce() -> String) {
        print(self.json, object, text);
    }
}

/// A field as a person or a table reads it.
pub fn field(object: &Value, name: &str) -> String {
    match &object[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Prints the result: the object, or what a person reads. Whoever stopped reading misses nothing that matters.
pub fn print(json: bool, object: &Value, text: impl FnOnce() -> String) {
    let mut out = std::io::stdout().lock();
    let _ = if json { writeln!(out, "{object}") } else { writeln!(out, "{}", text().trim_end()) };
    let _ = out.flush();
}
