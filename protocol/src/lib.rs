//! P2P-NetPay's protocol: everything two programs must agree on, and nothing else.
//!
//! Pure: no network, storage, clock or source of randomness of its own (callers pass time and randomness in), so that
//! the broker, the peer agent, an auditor and a browser can share it. What is signed is a fixed byte layout
//! ([`layout`]); what travels is CBOR with integer keys ([`wire`]).

#![warn(missing_docs)]

pub mod admin;
pub mod amounts;
pub mod buy;
pub mod certificate;
pub mod chain;
pub mod evidence;
pub mod ids;
pub mod index;
pub mod key_list;
pub mod keys;
pub mod layout;
pub mod limits;
pub mod listing;
pub mod messages;
pub mod payment;
pub mod payout;
pub mod problem;
pub mod query;
pub mod quote;
pub mod redemption;
pub mod register;
pub mod revocation;
pub mod runs;
pub mod sealing;
pub mod subjects;
pub mod suite;
pub mod touchstone;
pub mod wire;
