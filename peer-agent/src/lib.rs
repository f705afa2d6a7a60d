//! The peer agent of P2P-NetPay: buys e-coins, pays, shares files, accepts, redeems.
//!
//! `wallet` and `till` are plain functions over the traits in `ports`; `store` (SQLite) and `net` (NATS) are adapters
//! that know nothing of one another; `content` holds bytes against their hash; `cli` joins them, one file a command.

pub mod asking;
pub mod backup;
pub mod budget;
pub mod checkup;
pub mod cli;
pub mod config;
pub mod content;
pub mod download;
pub mod errands;
pub mod folder_port;
pub mod home;
pub mod identity;
pub mod keyring;
pub mod net;
pub mod obtaining;
pub mod past;
pub mod patience;
pub mod ports;
pub mod sealed;
pub mod serving;
pub mod settings;
pub mod steward;
pub mod store;
#[cfg(test)]
mod test_answers;
#[cfg(test)]
mod test_broker;
pub mod ticket;
pub mod till;
pub mod wallet;
pub mod withdrawing;

#[cfg(test)]
mod accepting_tests;
#[cfg(test)]
mod buying_tests;
#[cfg(test)]
mod checkup_tests;
#[cfg(test)]
mod download_tests;
#[cfg(test)]
mod granting_tests;
#[cfg(test)]
mod obtaining_tests;
#[cfg(test)]
mod paying_out_tests;
#[cfg(test)]
mod redeeming_tests;
#[cfg(test)]
mod restoring_tests;
#[cfg(test)]
mod steward_tests;
#[cfg(test)]
mod trade;
