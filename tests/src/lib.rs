//! The harness of the end-to-end tests: real servers in a directory of their own, and a peer without rules.

pub mod buyer;
pub mod campaign;
pub mod events;
pub mod forger;
pub mod impostor;
pub mod lossy;
pub mod lost;
pub mod processes;
pub mod raw_peer;
pub mod raw_supplier;
pub mod shop;
pub mod town;
