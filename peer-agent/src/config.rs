//! `peer.toml`, and the environment over it (`NETPAY_*`, `NATS_URL`, `NATS_CREDS`).
//!
//! Reads text and values; opens no file itself, and holds no secret.

use std::path::PathBuf;

use netpay_protocol::amounts::{UnitValue, Units};
use netpay_protocol::ids::{BadId, BrokerId};
use netpay_protocol::suite::Suite;
use serde::{Deserialize, Serialize};

use crate::till::policy::Policy;

/// Where NATS is when nobody says.
pub const DEFAULT_NATS_URL: &str = "nats://127.0.0.1:4222";

/// What stands in `peer.toml`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The BrokerId that the operator handed out.
    broker: String,
    /// Where NATS is.
    #[serde(default = "default_nats")]
    nats: String,
    /// A NATS credentials file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nats_credentials: Option<PathBuf>,
    /// What is accepted.
    #[serde(default)]
    policy: PolicyFile,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PolicyFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    suites: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_unit_value: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_account_age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_exposure_per_payer_units: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_exposure_units: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_revocation_age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spend_margin_ms: Option<u64>,
}

fn default_nats() -> String {
    DEFAULT_NATS_URL.into()
}

/// The configuration in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The pinned broker.
    pub broker: BrokerId,
    /// Where NATS is.
    pub nats: String,
    /// A NATS credentials file; without one the peer's own nkey logs in.
    pub nats_credentials: Option<PathBuf>,
    /// What is accepted.
    pub policy: Policy,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not TOML of this shape.
    #[error("peer.toml: {0}")]
    Toml(#[from] toml::de::Error),
    /// Not a BrokerId.
    #[error("the broker's id: {0}; ask the broker's operator for it")]
    Broker(#[from] BadId),
    /// A value that makes no sense.
    #[error("{0}")]
    Value(String),
}

/// The text of a new `peer.toml`.
pub fn new_file(broker: BrokerId, nats: &str) -> String {
    format!(
        "# P2P-NetPay peer. The broker is pinned by its id: nothing is trusted because it came over NATS.\n\
         broker = \"{broker}\"\nnats = {}\n\n\
         # What is accepted; the defaults are in `netpay serve --help`.\n[policy]\n",
        toml::Value::from(nats)
    )
}

/// Reads `peer.toml`; `env` answers environment variables, which stand over it.
pub fn read(text: &str, env: impl Fn(&str) -> Option<String>) -> Result<Config, Error> {
    let file: File = toml::from_str(text)?;
    let policy = policy(&file.policy, &env)?;
    Ok(Config {
        broker: env("NETPAY_BROKER").unwrap_or(file.broker).parse()?,
        nats: env("NETPAY_NATS").or_else(|| env("NATS_URL")).unwrap_or(file.nats),
        nats_credentials: env("NATS_CREDS").map(PathBuf::from).or(file.nats_credentials),
        policy,
    })
}

fn policy(file: &PolicyFile, env: &impl Fn(&str) -> Option<String>) -> Result<Policy, Error> {
    let default = Policy::default();
    let number = |name: &str, from_file: Option<u64>, otherwise: u64| match env(name) {
        None => Ok(from_file.unwrap_or(otherwise)),
        Some(text) => text.parse().map_err(|_| Error::Value(format!("{name}: expected a number, got {text:?}"))),
    };
    let suites = match (env("NETPAY_SUITES"), &file.suites) {
        (Some(text), _) => text.split_whitespace().map(str::to_owned).collect(),
        (None, Some(suites)) => suites.clone(),
        (None, None) => default.suites.iter().map(ToString::to_string).collect(),
    };
    let suites: Result<Vec<Suite>, String> = suites.iter().map(|suite: &String| suite.parse()).collect();
    let max_unit_value =
        number("NETPAY_MAX_UNIT_VALUE", file.max_unit_value.map(u64::from), u64::from(default.max_unit_value.0))?;
    Ok(Policy {
        suites: suites.map_err(Error::Value)?,
        max_unit_value: UnitValue(u32::try_from(max_unit_value).unwrap_or(u32::MAX)),
        bound_only: file.bound_only.unwrap_or(default.bound_only),
        min_account_age_ms: number("NETPAY_MIN_ACCOUNT_AGE_MS", file.min_account_age_ms, default.min_account_age_ms)?,
        max_exposure_per_payer: Units(number(
            "NETPAY_MAX_EXPOSURE_PER_PAYER_UNITS",
            file.max_exposure_per_payer_units,
            default.max_exposure_per_payer.0,
        )?),
        max_exposure: Units(number("NETPAY_MAX_EXPOSURE_UNITS", file.max_exposure_units, default.max_exposure.0)?),
        max_revocation_age_ms: number(
            "NETPAY_MAX_REVOCATION_AGE_MS",
            file.max_revocation_age_ms,
            default.max_revocation_age_ms,
        )?,
        spend_margin_ms: number("NETPAY_SPEND_MARGIN_MS", file.spend_margin_ms, default.spend_margin_ms)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_read_back_and_the_environment_stands_over_it() {
        let text = new_file(BrokerId([7; 16]), "nats://example.org:4222");
        let config = read(&text, |_| None).expect("our own file");
        assert_eq!(config.broker, BrokerId([7; 16]));
        assert_eq!(config.nats, "nats://example.org:4222");
        assert_eq!(config.policy, Policy::default());
        let env = |name: &str| match name {
            "NATS_URL" => Some("nats://other:1".into()),
            "NETPAY_MAX_REVOCATION_AGE_MS" => Some("5".into()),
            "NETPAY_SUITES" => Some("sha256".into()),
            _ => None,
        };
        let config = read(&text, env).expect("good");
        assert_eq!(config.nats, "nats://other:1");
        assert_eq!(config.policy.max_revocation_age_ms, 5);
        assert_eq!(config.policy.suites, [Suite::Sha256]);
    }

    #[test]
    fn a_misspelt_field_or_broker_is_an_error() {
        assert!(read("broker = \"00\"", |_| None).is_err());
        let text = new_file(BrokerId([7; 16]), "x").replace("nats", "natz");
        assert!(read(&text, |_| None).is_err());
    }
}
