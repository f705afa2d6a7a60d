//! One setting at a time: what the file says, the environment over it, and where the value in force came from.
//!
//! Knows no particular setting; `config` names them.

use serde_json::Value;

use crate::home::config::Error;

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// `peer.toml`.
    File,
    /// This variable.
    Environment(String),
}

/// What a setting is called, counted in, and for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name {
    /// The section of `peer.toml`.
    pub section: &'static str,
    /// The name there; the environment's is this in capitals after `NETPAY_`.
    pub name: &'static str,
    /// What it is counted in; nothing when it is no number.
    pub unit: &'static str,
    /// What it means, in a sentence.
    pub means: &'static str,
}

/// A setting in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Which.
    pub name: Name,
    /// Its value.
    pub value: Value,
    /// Where it came from.
    pub source: Source,
}

/// Reads settings, and remembers each.
pub struct Settings<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    /// What was read so far.
    pub read: Vec<Setting>,
}

impl<'a> Settings<'a> {
    /// Nothing read yet; `env` answers environment variables.
    pub fn new(env: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { env, read: Vec::new() }
    }

    /// A number.
    pub fn number(&mut self, name: Name, file: Option<u64>, default: u64) -> Result<u64, Error> {
        self.choose(name, file, default, |text| text.parse().map_err(|_| format!("expected a number, got {text:?}")))
    }

    /// A yes or no.
    pub fn switch(&mut self, name: Name, file: Option<bool>, default: bool) -> Result<bool, Error> {
        self.choose(name, file, default, |text| {
            text.parse().map_err(|_| format!("expected true or false, got {text:?}"))
        })
    }

    /// A text.
    pub fn text(&mut self, name: Name, file: Option<String>, default: String) -> Result<String, Error> {
        self.choose(name, file, default, |text| Ok(text.to_owned()))
    }

    /// Words; in the environment with spaces between.
    pub fn words(&mut self, name: Name, file: Option<Vec<String>>, default: Vec<String>) -> Result<Vec<String>, Error> {
        self.choose(name, file, default, |text| Ok(text.split_whitespace().map(str::to_owned).collect()))
    }

    fn choose<T: Clone + Into<Value>>(
        &mut self,
        name: Name,
        file: Option<T>,
        default: T,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        let variable = format!("NETPAY_{}", name.name.to_uppercase());
        let (value, source) = match ((self.env)(&variable), file) {
            (Some(text), _) => {
                let value = parse(&text).map_err(|wrong| Error::Value(format!("{variable}: {wrong}")))?;
                (value, Source::Environment(variable))
            }
            (None, Some(value)) => (value, Source::File),
            (None, None) => (default, Source::Default),
        };
        self.read.push(Setting { name, value: value.clone().into(), source });
        Ok(value)
    }
}
