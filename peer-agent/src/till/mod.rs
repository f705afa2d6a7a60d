//! The payee's side: quoting, accepting words, redeeming them.
//!
//! Plain functions over the store ports; each is called within one transaction that is committed before anything is
//! answered or served.

pub mod accepting;
pub mod offering;
pub mod policy;
pub mod readiness;
pub mod redeeming;
pub mod rehearsal;
pub mod schedule;
