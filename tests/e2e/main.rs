//! End to end: real programs, a real NATS server, real files.

mod admin;
mod agents;
mod broker;
mod operating;
mod payouts;
