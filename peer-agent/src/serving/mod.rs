//! Answering other peers: quotes and payments at the till, chunks off the shelf, folders kept in step with the disk.
//!
//! Every queue has a bound; what does not fit is answered *busy*. Knows no network: bytes come in, bytes go out.

pub mod folders;
pub mod shelf;
#[cfg(test)]
mod tests;
pub mod till_thread;

use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::wire::NotAMessage;

use crate::till::accepting::Refused;

/// An answer for another peer.
pub type Answer = Result<Vec<u8>, Problem>;

/// A problem that says the request may be sent again.
fn busy() -> Problem {
    Problem::new(Kind::Busy, "too much is waiting here: try again")
}

fn unavailable() -> Problem {
    Problem::new(Kind::Unavailable, "stopping, or the disk failed: try again")
}

fn malformed(error: NotAMessage) -> Refused {
    Problem::new(Kind::Malformed, error.to_string()).into()
}
