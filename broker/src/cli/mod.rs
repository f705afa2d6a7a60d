//! The command line: one file per group of commands. Results on stdout, everything else on stderr.

mod account;
mod audit;
mod backup;
mod doublespend;
mod ecoin;
mod evidence;
mod explain;
mod export;
mod inbox;
mod init;
mod key;
mod ledger;
mod moment;
mod payout;
mod reach;
mod show;
pub(crate) mod told;
mod views;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use netpay_ledger::record::BrokenLog;
use netpay_protocol::problem::{Kind, Problem};

use crate::actors::runtime;
use crate::bus::Unreachable;
use crate::config::Config;
use crate::node;
use crate::store::OpenError;

/// P2P-NetPay's broker: sells e-coins, redeems them, keeps the ledger; also the Central Indexing Server.
#[derive(Parser, Debug)]
#[command(
    name = "netpay-broker",
    version,
    after_help = "\
Examples:
  netpay-broker init --dir broker
  netpay-broker serve --config broker
  netpay-broker account credit 6f…c2 500 --reference 'bank transfer 4711' --config broker
  netpay-broker ledger audit --config broker
  netpay-broker ledger explain 6f…c2 --config broker

Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 declined by policy, 5 insufficient funds,
6 broker or NATS unreachable, 7 verification failed, 8 suspended or double spend, 75 try later"
)]
pub struct Arguments {
    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

impl Arguments {
    /// Whether this is the long-running command, whose log is worth reading.
    pub fn serves(&self) -> bool {
        matches!(self.command, Command::Serve(_))
    }
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Make a new broker (or index): keys, configuration, an empty ledger. Never overwrites one.
    Init(init::Init),
    /// Serve until SIGTERM.
    Serve(Where),
    /// Accounts: list, show, credit, suspend, reinstate, settle-debt.
    #[command(subcommand)]
    Account(account::Account),
    /// Payouts: list, settle, fail.
    #[command(subcommand)]
    Payout(payout::Payout),
    /// E-coins: show.
    #[command(subcommand)]
    Ecoin(ecoin::Ecoin),
    /// The ledger: audit, rebuild, export, explain, show, reconcile, confirm-clock.
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// The broker's keys: show, rotate.
    #[command(subcommand)]
    Key(key::Key),
    /// Double spends: list, export, verify.
    #[command(subcommand)]
    Doublespend(doublespend::Doublespend),
    /// What peers left in the inbox, and what was set aside: list, show, drop.
    #[command(subcommand)]
    Inbox(inbox::Inbox),
    /// Backups of the ledger: create, verify, restore.
    #[command(subcommand)]
    Backup(backup::Backup),
}

/// Which broker.
#[derive(Args, Debug)]
struct Where {
    /// The broker's directory, or its broker.toml.
    #[arg(long, value_name = "FILE", env = "NETPAY_CONFIG", default_value = "broker.toml")]
    config: PathBuf,
}

impl Where {
    fn load(&self) -> anyhow::Result<Config> {
        Config::load(&self.config)
    }
}

/// What a command has to say: for programs, and for people.
struct Said {
    json: serde_json::Value,
    text: String,
    /// The exit code, if not 0 (a check that found something).
    code: u8,
}

impl Said {
    fn new(json: serde_json::Value, text: impl Into<String>) -> Self {
        Self { json, text: text.into(), code: 0 }
    }
}

/// Something was looked for that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotFound(String);

/// An argument that fits its type and still cannot be meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Runs one command.
pub fn run(arguments: Arguments) -> ExitCode {
    let json = arguments.json;
    let result = runtime::run(async move {
        match arguments.command {
            Command::Init(command) => command.run().map(Some),
            Command::Serve(at) => node::serve(at.load()?, json).await.map(|()| None),
            Command::Account(command) => command.run().await.map(Some),
            Command::Payout(command) => command.run().await.map(Some),
            Command::Ecoin(command) => command.run().await.map(Some),
            Command::Ledger(command) => command.run().await,
            Command::Key(command) => command.run().map(Some),
            Command::Doublespend(command) => command.run().await,
            Command::Inbox(command) => command.run().await.map(Some),
            Command::Backup(command) => command.run().await.map(Some),
        }
    });
    match result {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(said)) => {
            if json {
                println!("{}", said.json);
            } else {
                println!("{}", said.text.trim_end());
            }
            ExitCode::from(said.code)
        }
        Err(error) => {
            let code = exit_code(&error);
            if json {
                println!("{}", serde_json::json!({ "error": format!("{error:#}"), "code": code }));
            }
            eprintln!("netpay-broker: {error:#}");
            ExitCode::from(code)
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(problem) = error.downcast_ref::<Problem>() {
        return match problem.kind {
            Kind::NotFound => 3,
            Kind::Policy => 4,
            Kind::InsufficientFunds => 5,
            Kind::BadSignature => 7,
            Kind::Suspended | Kind::InDebt => 8,
            Kind::Busy | Kind::Unavailable => 75,
            _ => 1,
        };
    }
    if error.is::<NotFound>() || matches!(error.downcast_ref(), Some(OpenError::Missing(_))) {
        return 3;
    }
    if error.is::<Unreachable>() {
        return 6;
    }
    if error.is::<Usage>() {
        return 2;
    }
    if error.is::<BrokenLog>() || error.is::<backup::NotGood>() {
        return 7;
    }
    1
}
