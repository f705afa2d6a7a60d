//! `broker.toml`: what an operator decides. Environment variables `NETPAY_*` stand over it.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use netpay_protocol::ids::BrokerId;
use netpay_protocol::keys::PublicKey;
use netpay_protocol::limits::{DAY_MS, MIN_REDEEM_WINDOW_MS};
use serde::{Deserialize, Serialize};

use crate::keys::KeyFolder;

/// The file's name in its directory.
pub const FILE: &str = "broker.toml";

/// What this process does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sells, redeems, keeps the ledger.
    Broker,
    /// Finds content: the Central Indexing Server.
    Index,
}

/// The file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    broker: String,
    roles: Vec<Role>,
    #[serde(default = "default_nats_url")]
    nats_url: String,
    #[serde(default = "default_http")]
    http: String,
    #[serde(default)]
    operators: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former_operators: Vec<String>,
    #[serde(default)]
    policy: PolicyFile,
    #[serde(default)]
    queues: Queues,
    #[serde(default)]
    inbox: Inbox,
    #[serde(default)]
    events: Events,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PolicyFile {
    spend_days: u64,
    redeem_days: u64,
    md5_most_units: u64,
}

impl Default for PolicyFile {
    fn default() -> Self {
        Self { spend_days: 90, redeem_days: 30, md5_most_units: 10_000 }
    }
}

/// How many messages may wait; more are answered *busy*.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queues {
    /// Before the gateway.
    pub gateway: usize,
    /// Before the verification pool.
    pub verify: usize,
    /// Before the writer.
    pub ledger: usize,
    /// Before the index.
    pub index: usize,
}

impl Default for Queues {
    fn default() -> Self {
        // A message can have 1 MB: these bound the memory of what waits to some hundreds of MB.
        Self { gateway: 256, verify: 256, ledger: 512, index: 256 }
    }
}

/// The inbox in which peers leave batches, through JetStream.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Inbox {
    /// Whether there must be one. Left out: there is one if the NATS server has JetStream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// On how many NATS servers its streams are kept.
    pub replicas: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { enabled: None, replicas: 1 }
    }
}

/// The feed of what is recorded, through JetStream.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Events {
    /// Whether there is one: it shows who pays whom.
    pub enabled: bool,
    /// On how many NATS servers its stream is kept.
    pub replicas: usize,
}

impl Default for Events {
    fn default() -> Self {
        Self { enabled: false, replicas: 1 }
    }
}

/// What may be bought.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long e-coins can be spent.
    pub spend_ms: u64,
    /// How much longer they can be redeemed.
    pub redeem_ms: u64,
    /// The most that one `md5` e-coin may be worth.
    pub md5_most_units: u64,
}

/// The configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory that holds everything.
    pub dir: PathBuf,
    /// Who the broker is.
    pub broker: BrokerId,
    /// What this process does.
    pub roles: Vec<Role>,
    /// The NATS server.
    pub nats_url: String,
    /// A NATS credentials file.
    pub nats_creds: Option<PathBuf>,
    /// Where metrics and health are served.
    pub http: String,
    /// Who may give orders.
    pub operators: Vec<PublicKey>,
    /// Who might once: the audit believes their orders of that time.
    pub former_operators: Vec<PublicKey>,
    /// What may be bought.
    pub policy: Policy,
    /// Bounds.
    pub queues: Queues,
    /// The inbox.
    pub inbox: Inbox,
    /// The feed.
    pub events: Events,
}

fn default_nats_url() -> String {
    "nats://127.0.0.1:4222".into()
}

fn default_http() -> String {
    "127.0.0.1:9464".into()
}

impl Config {
    /// Reads `DIR/broker.toml` (or the file itself), then the environment.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let path = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("cannot read {}; make a broker with: netpay-broker init --dir DIR", path.display())
        })?;
        let file: File = toml::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))?;
        let dir = path.parent().map(Path::to_owned).unwrap_or_default();
        let operator = |text: &String| {
            text.parse().with_context(|| format!("operators, former_operators: {text:?} is no public key"))
        };
        let PolicyFile { spend_days, redeem_days, md5_most_units } = file.policy;
        let days = |days: u64| days.checked_mul(DAY_MS).filter(|ms| *ms < u64::from(u32::MAX) * 1_000);
        let (Some(spend_ms), Some(redeem_ms)) = (days(spend_days), days(redeem_days)) else {
            bail!("policy: spend_days and redeem_days must be below 50,000");
        };
        ensure!(redeem_ms >= MIN_REDEEM_WINDOW_MS, "policy: redeem_days must be at least 7, it is {redeem_days}");
        ensure!(!file.roles.is_empty(), "roles: expected [\"broker\"], [\"index\"] or both");
        Ok(Self {
            broker: file.broker.parse().context("broker: not a BrokerId")?,
            roles: file.roles,
            nats_url: from_env(&["NETPAY_NATS_URL", "NATS_URL"]).unwrap_or(file.nats_url),
            nats_creds: from_env(&["NETPAY_NATS_CREDS", "NATS_CREDS"]).map(PathBuf::from),
            http: from_env(&["NETPAY_HTTP"]).unwrap_or(file.http),
            operators: file.operators.iter().map(operator).collect::<Result<_, _>>()?,
            former_operators: file.former_operators.iter().map(operator).collect::<Result<_, _>>()?,
            policy: Policy { spend_ms, redeem_ms, md5_most_units },
            queues: file.queues,
            inbox: file.inbox,
            events: file.events,
            dir,
        })
    }

    /// The text of a new file.
    pub fn new_file(broker: BrokerId, role: Role, nats_url: &str, http: &str, operators: &[PublicKey]) -> String {
        let file = File {
            broker: broker.to_string(),
            roles: vec![role],
            nats_url: nats_url.into(),
            http: http.into(),
            operators: operators.iter().map(ToString::to_string).collect(),
            former_operators: vec![],
            policy: PolicyFile::default(),
            queues: Queues::default(),
            inbox: Inbox::default(),
            events: Events::default(),
        };
        let body = toml::to_string_pretty(&file).expect("plain fields have a TOML form");
        format!("# P2P-NetPay broker. Environment variables NETPAY_NATS_URL, NETPAY_HTTP stand over this file.\n{body}")
    }

    /// The folder of key files.
    pub fn keys(&self) -> KeyFolder {
        KeyFolder(self.dir.join("keys"))
    }

    /// The ledger's directory.
    pub fn ledger(&self) -> PathBuf {
        self.dir.join("ledger")
    }

    /// The index's file.
    pub fn index(&self) -> PathBuf {
        self.dir.join("index.sqlite")
    }

    /// How far the event feed has come.
    pub fn events_cursor(&self) -> PathBuf {
        self.dir.join("events.cursor")
    }

    /// Whether this process has a role.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

fn from_env(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
}
