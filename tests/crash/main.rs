//! The broker killed, and its disk failing, under load: nothing that was acknowledged is lost, nothing is done twice.
//!
//! Everything is held against what the clients wrote down of the answers they got, never against the broker's own view.
//! `tests/run.sh crash` takes less than two minutes. The long form, with the numbers that it has of itself:
//!
//! ```text
//! NETPAY_CYCLES=10000 NETPAY_MINUTES=60 NETPAY_SEED=1 tests/run.sh crash
//! ```
//!
//! (10,000 kills, or as many as an hour holds; `tests/run.sh --long crash` kills 10,000 times however long it takes.) A
//! campaign prints its seed first and what happened last; with the same seed the same things are asked for and the broker
//! dies after the same times, as far as the machine lets it.

mod books;
mod clients;
mod faults;
mod full;
mod kills;
mod load;
mod post;
mod scene;
mod shim;
mod stage;
mod syncs;
