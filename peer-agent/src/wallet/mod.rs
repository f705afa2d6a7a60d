//! The payer's side: buying e-coins and granting their words.
//!
//! Plain functions over the store ports; each is called within one transaction that is committed before anything leaves.

pub mod broker_lists;
pub mod buying;
pub mod certificates;
pub mod granting;
pub mod locking;
pub mod paying_out;
pub mod purse;
pub mod receipts;
pub mod refusals;
pub mod stale;
