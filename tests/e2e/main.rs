//! End to end: real programs, a real NATS server, real files.

mod admin;
mod agents;
mod broker;
mod contents;
mod operating;
mod payouts;
