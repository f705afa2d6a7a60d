//! `peer.toml`, and the environment over it (`NETPAY_*`, `NATS_URL`, `NATS_CREDS`).
//!
//! Reads text and values; opens no file itself, and holds no secret.

use std::path::PathBuf;

use netpay_protocol::amounts::{UnitValue, Units};
use netpay_protocol::ids::{BadId, BrokerId};
use netpay_protocol::suite::Suite;
use serde::{Deserialize, Serialize};

use crate::home::settings::{Name, Setting, Settings};
use crate::till::policy::Policy;
use crate::till::schedule::{Schedule, TimeOfDay};

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
    /// When serve redeems.
    #[serde(default)]
    redeem: RedeemFile,
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

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RedeemFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    redeem_automatically: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redeem_at_units: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redeem_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redeem_daily_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redeem_jitter_ms: Option<u64>,
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
    /// When serve redeems.
    pub redeem: Schedule,
    /// Every setting of policy and schedule, with where it came from.
    pub settings: Vec<Setting>,
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
         # What is accepted, and when serve redeems: `netpay serve --show-policy` shows every setting.\n[policy]\n\n[redeem]\n",
        toml::Value::from(nats)
    )
}

/// Reads `peer.toml`; `env` answers environment variables, which stand over it.
pub fn read(text: &str, env: impl Fn(&str) -> Option<String>) -> Result<Config, Error> {
    let file: File = toml::from_str(text)?;
    let mut settings = Settings::new(&env);
    let policy = policy(file.policy, &mut settings)?;
    let redeem = schedule(file.redeem, &mut settings)?;
    let settings = settings.read;
    Ok(Config {
        broker: env("NETPAY_BROKER").unwrap_or(file.broker).parse()?,
        nats: env("NETPAY_NATS").or_else(|| env("NATS_URL")).unwrap_or(file.nats),
        nats_credentials: env("NATS_CREDS").map(PathBuf::from).or(file.nats_credentials),
        policy,
        redeem,
        settings,
    })
}

/// A setting of a section.
const fn named(section: &'static str, name: &'static str, unit: &'static str, means: &'static str) -> Name {
    Name { section, name, unit, means }
}

fn policy(file: PolicyFile, settings: &mut Settings<'_>) -> Result<Policy, Error> {
    let default = Policy::default();
    let name = |name, unit, means| named("policy", name, unit, means);
    let suites = settings.words(
        name("suites", "", "the hash suites whose e-coins are accepted"),
        file.suites,
        default.suites.iter().map(ToString::to_string).collect(),
    )?;
    let suites: Result<Vec<Suite>, String> = suites.iter().map(|suite| suite.parse()).collect();
    let max_unit_value = settings.number(
        name("max_unit_value", "units", "the most that one word may be worth"),
        file.max_unit_value.map(u64::from),
        u64::from(default.max_unit_value.0),
    )?;
    Ok(Policy {
        suites: suites.map_err(Error::Value)?,
        max_unit_value: UnitValue(u32::try_from(max_unit_value).unwrap_or(u32::MAX)),
        bound_only: settings.switch(
            name("bound_only", "", "whether only e-coins are accepted that nobody but this peer can be paid with"),
            file.bound_only,
            default.bound_only,
        )?,
        min_account_age_ms: settings.number(
            name("min_account_age_ms", "ms", "how old a payer's account must be"),
            file.min_account_age_ms,
            default.min_account_age_ms,
        )?,
        max_exposure_per_payer: Units(settings.number(
            name(
                "max_exposure_per_payer_units",
                "units",
                "the most that is accepted of one payer and not yet redeemed",
            ),
            file.max_exposure_per_payer_units,
            default.max_exposure_per_payer.0,
        )?),
        max_exposure: Units(settings.number(
            name("max_exposure_units", "units", "the most that is accepted in all and not yet redeemed"),
            file.max_exposure_units,
            default.max_exposure.0,
        )?),
        max_revocation_age_ms: settings.number(
            name(
                "max_revocation_age_ms",
                "ms",
                "how old the broker's revocation list may be; beyond, nothing is accepted",
            ),
            file.max_revocation_age_ms,
            default.max_revocation_age_ms,
        )?,
        spend_margin_ms: settings.number(
            name("spend_margin_ms", "ms", "how long before an e-coin's last spending time it is not accepted any more"),
            file.spend_margin_ms,
            default.spend_margin_ms,
        )?,
    })
}

fn schedule(file: RedeemFile, settings: &mut Settings<'_>) -> Result<Schedule, Error> {
    let default = Schedule::default();
    let name = |name, unit, means| named("redeem", name, unit, means);
    let on = settings.switch(
        name(
            "redeem_automatically",
            "",
            "whether serve redeems by itself; if not, it does so only before money would be lost",
        ),
        file.redeem_automatically,
        default.on,
    )?;
    let daily_at = settings.text(
        name("redeem_daily_at", "", "the time of day (UTC) to redeem at, like 03:30; empty: at no fixed time"),
        file.redeem_daily_at,
        String::new(),
    )?;
    let daily_at: Option<Result<TimeOfDay, String>> = (!daily_at.is_empty()).then(|| daily_at.parse());
    Ok(Schedule {
        on,
        at: Units(settings.number(
            name("redeem_at_units", "units", "redeem as soon as so much was accepted and not yet redeemed"),
            file.redeem_at_units,
            default.at.0,
        )?),
        after_ms: settings.number(
            name("redeem_after_ms", "ms", "redeem when the oldest payment not yet redeemed came so long ago"),
            file.redeem_after_ms,
            default.after_ms,
        )?,
        daily_at: daily_at.transpose().map_err(|wrong| Error::Value(format!("redeem_daily_at: {wrong}")))?,
        jitter_ms: settings.number(
            name("redeem_jitter_ms", "ms", "a random part of this is added, so that not all peers come at once"),
            file.redeem_jitter_ms,
            default.jitter_ms,
        )?,
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
    fn every_setting_in_force_is_known_with_where_it_came_from() {
        use crate::home::settings::Source;
        let text = new_file(BrokerId([7; 16]), "x")
            .replace("[policy]", "[policy]\nbound_only = true\nspend_margin_ms = 5")
            .replace("[redeem]", "[redeem]\nredeem_daily_at = \"03:30\"\nredeem_at_units = 7");
        let env =
            |name: &str| (name == "NETPAY_REDEEM_AT_UNITS" || name == "NETPAY_SPEND_MARGIN_MS").then(|| "9".into());
        let config = read(&text, env).expect("good");
        assert_eq!((config.redeem.at, config.redeem.daily_at), (Units(9), "03:30".parse().ok()));
        assert!(config.policy.bound_only && config.policy.spend_margin_ms == 9);
        assert_eq!(config.redeem.after_ms, Schedule::default().after_ms);
        let source = |name: &str| {
            let found = config.settings.iter().find(|setting| setting.name.name == name);
            found.expect("known").source.clone()
        };
        assert_eq!(source("redeem_at_units"), Source::Environment("NETPAY_REDEEM_AT_UNITS".into()));
        assert_eq!((source("bound_only"), source("redeem_after_ms")), (Source::File, Source::Default));
        assert_eq!(config.settings.len(), 13);
    }

    #[test]
    fn a_value_that_makes_no_sense_is_an_error_that_names_it() {
        let text = new_file(BrokerId([7; 16]), "x");
        for (name, value) in [
            ("NETPAY_REDEEM_DAILY_AT", "24:00"),
            ("NETPAY_REDEEM_AT_UNITS", "-1"),
            ("NETPAY_REDEEM_AUTOMATICALLY", "yes"),
            ("NETPAY_BOUND_ONLY", "1"),
            ("NETPAY_SUITES", "sha1"),
        ] {
            let wrong = read(&text, |asked| (asked == name).then(|| value.into())).expect_err(name).to_string();
            assert!(wrong.contains(value), "{wrong}");
        }
    }

    #[test]
    fn a_misspelt_field_or_broker_is_an_error() {
        assert!(read("broker = \"00\"", |_| None).is_err());
        let text = new_file(BrokerId([7; 16]), "x").replace("nats", "natz");
        assert!(read(&text, |_| None).is_err());
    }
}
