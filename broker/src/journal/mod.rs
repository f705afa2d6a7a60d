//! Commit points: [`local`] of a single node, [`raft`] of a cluster.

pub mod local;
pub mod raft;
#[cfg(test)]
mod tests;
