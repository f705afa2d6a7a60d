//! `netpay-broker init`: a new broker or index, never over an old one.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use netpay_protocol::ids::BrokerId;
use serde_json::json;

use super::Said;
use crate::config::{Config, FILE, Role};
use crate::keys::{KeyFolder, write_whole};
use crate::ports::now_ms;
use crate::store::Store;

#[derive(Args, Debug)]
pub(super) struct Init {
    /// The directory to make.
    #[arg(long)]
    dir: PathBuf,
    /// What it will do.
    #[arg(long, value_enum, default_value = "broker")]
    role: RoleName,
    /// For an index: the broker whose customers it serves.
    #[arg(long, value_name = "BROKER-ID", required_if_eq("role", "index"))]
    broker: Option<BrokerId>,
    /// The NATS server.
    #[arg(long, default_value = "nats://127.0.0.1:4222")]
    nats: String,
    /// Where metrics and health are served.
    #[arg(long, default_value = "127.0.0.1:9464")]
    http: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    Broker,
    Index,
}

impl Init {
    pub(super) fn run(self) -> anyhow::Result<Said> {
        if self.dir.join(FILE).exists() || self.dir.join("keys").exists() {
            bail!("there is a broker in {} already; nothing was changed", self.dir.display());
        }
        // Built beside its place and moved there whole: a crash leaves either nothing or all of it.
        let name = self.dir.file_name().context("--dir must name a directory")?.to_string_lossy();
        let dir = &self.dir.with_file_name(format!(".{name}.init-{}", std::process::id()));
        let keys = KeyFolder(dir.join("keys"));
        let folder = |path: &PathBuf| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        folder(&keys.0).with_context(|| format!("cannot make {}", dir.display()))?;
        let (broker, operators) = match (self.role, self.broker) {
            (RoleName::Broker, None) => {
                let root = keys.create("root")?;
                // The index key is for a broker that takes the index role, too.
                for name in ["touchstone", "statement", "notice", "index"] {
                    keys.create(name)?;
                }
                keys.create_master()?;
                let operator = keys.create("operator")?;
                let list = keys.issue_list(&root, now_ms())?;
                keys.write_list(&list)?;
                Store::create(&dir.join("ledger"))?;
                (BrokerId::of(&root.public()), vec![operator.public()])
            }
            (RoleName::Index, Some(broker)) => {
                keys.create("index")?;
                (broker, vec![])
            }
            (RoleName::Broker, Some(_)) => {
                bail!("--broker names the broker of an index; a new broker gets a new id")
            }
            (RoleName::Index, None) => bail!("an index needs --broker BROKER-ID"),
        };
        let role = match self.role {
            RoleName::Broker => Role::Broker,
            RoleName::Index => Role::Index,
        };
        let text = Config::new_file(broker, role, &self.nats, &self.http, &operators);
        write_whole(&dir.join(FILE), text.as_bytes())?;
        for folder in [&keys.0, dir] {
            fs::File::open(folder)?.sync_all()?;
        }
        fs::rename(dir, &self.dir).with_context(|| format!("{} is there, and not empty", self.dir.display()))?;
        let parent = self.dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        fs::File::open(parent.unwrap_or(".".as_ref()))?.sync_all()?;
        let dir = &self.dir;
        let shown = dir.display();
        let text = match role {
            Role::Broker => format!(
                "broker {broker}\nkeys, configuration and ledger are in {shown}\n\
                 serve it with:   netpay-broker serve --config {shown}\n\
                 peers join with: netpay init --broker {broker} --nats {}",
                self.nats
            ),
            Role::Index => format!(
                "index for the customers of broker {broker}\nkey and configuration are in {shown}\n\
                 serve it with: netpay-broker serve --config {shown}"
            ),
        };
        Ok(Said::new(json!({ "broker": broker.to_string(), "dir": dir, "config": dir.join(FILE) }), text))
    }
}
