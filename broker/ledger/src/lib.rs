//! P2P-NetPay's ledger: who has what, which words were paid to whom, and why.
//!
//! Two functions are the whole of it: [`decide()`] says which events a command leads to, [`apply()`] changes state by an
//! event. State is larger than memory, so both work on a [`WorkingSet`] of rows loaded for a group of commands.
//!
//! Architecture invariant: no I/O, clock, randomness, async or hash-map order in here. Time arrives in [`Facts`],
//! e-coin ids and touchstones arrive prepared in the command, rows through [`Rows`]. Nothing here holds a word that has
//! not been spent.

#![warn(missing_docs)]

pub mod apply;
pub mod command;
pub mod decide;
pub mod event;
pub mod invariants;
pub mod load;
pub mod memory;
pub mod record;
pub mod rejection;
pub mod rows;
pub mod scan;
pub mod verify;
pub mod working_set;

pub use apply::apply;
pub use command::{Action, Command, Facts};
pub use decide::{Decision, decide};
pub use event::Event;
pub use load::Rows;
pub use record::Record;
pub use rejection::Rejection;
pub use working_set::WorkingSet;
