//! The broker killed, and its disk failing, under load: nothing that was acknowledged is lost, nothing is done twice.
//!
//! Everything is held against what the clients wrote down of the answers they got, never against the broker's own view.
//! `tests/run.sh crash` kills 50 times and lets the disk fail in each way once, in about two minutes. The long form, with
//! the numbers that `tests/run.sh --long crash` has of itself, or as many kills as an hour holds:
//!
//! ```text
//! NETPAY_CYCLES=10000 tests/run.sh --long crash
//! NETPAY_CYCLES=10000 NETPAY_MINUTES=60 NETPAY_SEED=1 tests/run.sh --long crash
//! ```
//!
//! A campaign prints its seed first and what happened last. With the same seed the same things are asked for and the broker
//! dies after the same times, as far as the machine lets it.

mod books;
mod clients;
mod debts;
mod faults;
mod full;
mod kills;
mod load;
mod post;
mod rotations;
mod scene;
mod shim;
mod stage;
mod syncs;
