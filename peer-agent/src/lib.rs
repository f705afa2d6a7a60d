//! The peer agent of P2P-NetPay: buys e-coins, pays, shares files, accepts, redeems.
//!
//! `wallet` and `till` are plain functions over the traits in `ports`; `store` (SQLite) and `net` (NATS) are adapters
//! that know nothing of one another; `content` holds bytes against their hash; `cli` joins them, one file a command.

pub mod checkup;
pub mod cli;
pub mod content;
pub mod errands;
pub mod getting;
pub mod home;
pub mod net;
pub mod ports;
pub mod serving;
pub mod store;
#[cfg(test)]
mod tests;
pub mod till;
pub mod wallet;
