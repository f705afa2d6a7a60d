//! The independent audit: an honest log passes, and each lie is found where it comes in.

mod claims;
mod lives;
mod memory;
mod money;
mod orders;
mod rows;
mod statements;
mod world;
