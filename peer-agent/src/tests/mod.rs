//! Tests of whole errands and trades over the ports, and the broker in memory that they are told with.
//!
//! Apart from what they test because each of them crosses several modules.

mod accepting;
mod accepting_vectors;
mod answers;
pub mod broker;
mod buying;
mod checkup;
mod download;
mod forgotten;
mod getting;
mod granting;
mod paying_out;
mod publishing;
mod redeeming;
mod restoring;
mod rotating;
mod steward;
pub mod trade;
mod vectors;
