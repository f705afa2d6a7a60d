//! How a command ends when it fails: an exit code for programs, a sentence with the next step for people.

use netpay_protocol::problem::{Kind, Problem};

use crate::content::partial;
use crate::errands::publishing;
use crate::getting::{self, download};
use crate::home::{self, backup, keyring};
use crate::ports::inbox::NotLeft;
use crate::ports::{CallError, StoreError};
use crate::wallet::granting;
use crate::{errands, net};

/// A command's failure.
#[derive(Debug)]
pub struct Failure {
    /// DESIGN §9.
    pub code: u8,
    /// For a person.
    pub text: String,
    /// What a program is told besides: an object, or null.
    pub also: serde_json::Value,
    /// Whether the result says it already, so that stdout needs no second object.
    pub told: bool,
}

impl Failure {
    /// A failure with this code.
    pub fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), also: serde_json::Value::Null, told: false }
    }

    /// A failure that the result has told already.
    pub fn told(code: u8, text: impl Into<String>) -> Self {
        Self { told: true, ..Self::new(code, text) }
    }

    /// Says what still works while the broker is away.
    fn without_the_broker(self) -> Self {
        let works = "without the broker these still work: netpay search, get and serve (being paid while its lists are fresh), wallet show, history, statement, redeem --dry-run";
        Self { text: format!("{}\n{works}", self.text), ..self }
    }
}

/// What a problem means for the caller.
fn code(problem: &Problem) -> u8 {
    match problem.kind {
        Kind::NotFound => 3,
        Kind::Policy | Kind::PaymentRefused | Kind::PaymentDue => 4,
        Kind::InsufficientFunds => 5,
        Kind::BadSignature => 7,
        Kind::Suspended | Kind::InDebt => 8,
        Kind::Busy | Kind::Unavailable => 75,
        _ => 1,
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(1, error.to_string())
    }
}

impl From<home::Error> for Failure {
    fn from(error: home::Error) -> Self {
        let code = match error {
            home::Error::Config(_) => 2,
            home::Error::KeysChanging => 75,
            home::Error::Keys(error) => return error.into(),
            _ => 1,
        };
        Self::new(code, error.to_string())
    }
}

impl From<keyring::Error> for Failure {
    fn from(error: keyring::Error) -> Self {
        let code = match error {
            keyring::Error::Passphrase => 2,
            keyring::Error::NotAKey(_) | keyring::Error::Sealed(..) => 7,
            _ => 1,
        };
        Self::new(code, error.to_string())
    }
}

impl From<backup::Error> for Failure {
    fn from(error: backup::Error) -> Self {
        let text = error.to_string();
        match error {
            backup::Error::Sealed(..) | backup::Error::NotWhole(_) => Self::new(7, text),
            backup::Error::Home(error) => error.into(),
            _ => Self::new(1, text),
        }
    }
}

impl From<net::connect::Error> for Failure {
    fn from(error: net::connect::Error) -> Self {
        Self::new(
            6,
            format!("{error}\nwithout NATS these still work: netpay wallet show, history, statement, redeem --dry-run"),
        )
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let code = match &error {
            CallError::Problem(problem) => code(problem),
            CallError::Silence(_) => 6,
            CallError::Unreadable(_) => 7,
        };
        Self::new(code, error.to_string())
    }
}

impl From<errands::Error> for Failure {
    fn from(error: errands::Error) -> Self {
        let text = error.to_string();
        match error {
            errands::Error::Rejected(problem) if problem.kind == Kind::Fork => {
                Self::new(code(&problem), format!("{text}; everything is kept and asked for again: netpay redeem"))
            }
            errands::Error::Rejected(problem) => Self::new(code(&problem), text),
            errands::Error::Call(error) => {
                let failure = Self { text, ..Self::from(error) };
                if failure.code == 6 { failure.without_the_broker() } else { failure }
            }
            errands::Error::NotBelieved(_) => Self::new(7, text),
            errands::Error::NoKeys => Self::new(6, text).without_the_broker(),
            errands::Error::StaleCopy(_) => Self::new(8, text),
            errands::Error::RestoreFirst | errands::Error::Store(_) => Self::new(1, text),
        }
    }
}

impl From<publishing::Error> for Failure {
    fn from(error: publishing::Error) -> Self {
        let not_left = match error {
            publishing::Error::Store(error) => return error.into(),
            publishing::Error::NotLeft(not_left) => not_left,
        };
        let (code, next) = match not_left {
            NotLeft::NoInbox => (6, "redeem while the broker serves, with: netpay redeem"),
            NotLeft::Full(_) => (75, "try again later, or redeem while the broker serves, with: netpay redeem"),
            NotLeft::Refused(_) => (1, "redeem while the broker serves, with: netpay redeem"),
            NotLeft::Silence(_) => (6, "whether it is stored is not known; run the same command again"),
        };
        Self::new(code, format!("{not_left}; the batch is kept: {next}"))
    }
}

impl From<granting::Error> for Failure {
    fn from(error: granting::Error) -> Self {
        let code = match error {
            granting::Error::NotEnough { .. } => 5,
            granting::Error::Short(_) => 7,
            granting::Error::TooLarge { .. } => 4,
            granting::Error::Busy => 75,
            _ => 1,
        };
        Self::new(code, error.to_string())
    }
}

impl From<partial::Error> for Failure {
    fn from(error: partial::Error) -> Self {
        let code = match error {
            partial::Error::NotTheContent | partial::Error::NotTheSize(_) => 7,
            _ => 1,
        };
        Self::new(code, error.to_string())
    }
}

impl From<getting::Error> for Failure {
    fn from(error: getting::Error) -> Self {
        match error {
            getting::Error::NotAsAsked(text) => Self::new(7, text),
            getting::Error::TooDear(text) => Self::new(4, text),
            getting::Error::Granting(error) => error.into(),
            getting::Error::Call(error) => error.into(),
            getting::Error::Download(error) => error.into(),
            getting::Error::Partial(error) => error.into(),
            getting::Error::Store(error) => error.into(),
        }
    }
}

impl From<download::Error> for Failure {
    fn from(error: download::Error) -> Self {
        let text = error.to_string();
        match error {
            download::Error::NotTheContent(_) => Self::new(7, text),
            download::Error::Refused(problem) => Self::new(
                match code(&problem) {
                    1 => 4,
                    code => code,
                },
                text,
            ),
            download::Error::Granting(error) => error.into(),
            download::Error::Call(error) => Self { text, ..Self::from(error) },
            download::Error::Partial(error) => error.into(),
            download::Error::Store(error) => error.into(),
        }
    }
}
