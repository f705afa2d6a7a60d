//! Connecting to NATS: which server, with which key, and whether it is new enough.

use std::path::Path;
use std::time::Duration;

use async_nats::{ConnectErrorKind, ConnectOptions};
use netpay_protocol::ids::PeerId;

use super::Net;

/// How long a connection may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The oldest server that is good enough.
const OLDEST: (i64, i64) = (2, 12);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody there.
    #[error("no NATS server at {0}; start one with: nats-server -js")]
    Nobody(String),
    /// It does not let us in.
    #[error("the NATS server at {0} does not accept this peer's key; set NATS_CREDS or ask the broker's operator")]
    NotAllowed(String),
    /// Too old.
    #[error("the NATS server at {url} is {version}, and {}.{} or newer is needed; deploy/setup.sh brings one", OLDEST.0, OLDEST.1)]
    TooOld {
        /// Where.
        url: String,
        /// What it is.
        version: String,
    },
    /// The credentials cannot be read.
    #[error("NATS credentials: {0}")]
    Credentials(std::io::Error),
    /// Anything else.
    #[error("cannot connect to NATS at {0}: {1}")]
    Other(String, String),
}

/// Connects as this peer.
pub async fn connect(url: &str, credentials: Option<&Path>, nkey_seed: String, me: PeerId) -> Result<Net, Error> {
    let mut options = ConnectOptions::new()
        .name(format!("netpay {me}"))
        .custom_inbox_prefix(format!("_INBOX_{me}"))
        .connection_timeout(TIMEOUT);
    options = match credentials {
        Some(path) => options.credentials_file(path).await.map_err(Error::Credentials)?,
        None => options.nkey(nkey_seed),
    };
    let client = options.connect(url).await.map_err(|error| {
        let url = url.to_owned();
        match error.kind() {
            ConnectErrorKind::Io | ConnectErrorKind::TimedOut | ConnectErrorKind::Dns => Error::Nobody(url),
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => Error::NotAllowed(url),
            _ => Error::Other(url, error.to_string()),
        }
    })?;
    let version = client.server_info().version;
    if !is_new_enough(&version) {
        return Err(Error::TooOld { url: url.into(), version });
    }
    Ok(Net { client, me })
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map(str::parse::<i64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= OLDEST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_2_12_are_too_old() {
        for (version, good) in [
            ("2.12.0", true),
            ("2.12.0-RC.1", true),
            ("2.14.3", true),
            ("3.0.0", true),
            ("2.11.9", false),
            ("1.99.0", false),
            ("", false),
            ("two", false),
        ] {
            assert_eq!(is_new_enough(version), good, "{version}");
        }
    }
}
