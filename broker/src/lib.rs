//! P2P-NetPay's broker, and the Central Indexing Server (a role of the same program).
//!
//! ```text
//! NATS ──> gateway ──> verify pool ──> ledger actor ──> journal ──> reply
//!          decode      hashes and       one writer,      commit
//!          limits      signatures,      groups,          point
//!          routing     parallel         decides          (fsync)
//! ```
//!
//! Imports point down: protocol ← ledger ← [`ports`] ← [`actors`]. Adapters ([`store`], [`journal`], [`bus`], [`index`],
//! [`telemetry`]) never import one another; [`node`] alone sees everything.

pub mod actors;
pub mod audit;
pub mod bus;
pub mod cli;
pub mod config;
pub mod index;
pub mod journal;
pub mod keys;
pub mod node;
pub mod ports;
pub mod store;
pub mod telemetry;
