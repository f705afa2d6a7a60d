//! The broker's actors. A graph without cycles:
//!
//! ```text
//! bus ──> GatewayActor ──> VerifyActor (pool) ──> LedgerActor ──> journal
//! bus ──> IndexActor           timer ──> ScanActor
//!          VerifyActor ──> forward ──> another node's LedgerActor, while that one leads
//! ```
//!
//! Each waits on a queue with a bound; who finds it full is answered *busy*. Actors are [`runtime::Handler`]s over plain
//! data: `runtime` alone knows which library runs them.

pub mod clock;
pub mod drained;
pub mod expiry;
pub mod forward;
pub mod gateway;
pub mod index;
pub mod ledger;
pub mod refusals;
pub mod runtime;
pub mod scan;
pub mod verify;
pub mod views;
