//! A broker's ledger directory, damaged in every way that a disk can: never does another ledger come out in silence.
//!
//! Each damaged copy is opened as a broker or an auditor opens it, and everything in it is read. It must be refused in
//! words, or be exactly what it was, or stand exactly where the true log once stood: then the statement that a client got
//! later names a record that it does not have, which is how such a loss is found. `tests/run.sh damage` takes about two
//! minutes. The long form, with the numbers that it has of itself:
//!
//! ```text
//! NETPAY_CYCLES=10000 NETPAY_SEED=1 tests/run.sh damage
//! ```

mod cuts;
mod flips;
mod judge;
mod specimen;
