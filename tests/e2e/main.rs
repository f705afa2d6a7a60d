//! End to end: real programs, a real NATS server, real files.

mod admin;
mod agents;
mod auditing;
mod broker;
mod contents;
mod daily;
mod drill;
mod events;
mod explaining;
mod inbox;
mod inbox_agent;
mod keys;
mod operating;
mod payouts;
mod payouts_agent;
mod restored;
mod rotations;
mod rotations_agent;
mod upkeep;
