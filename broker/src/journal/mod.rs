//! Commit points. For one node, [`local`]; a replicated one will stand beside it.

pub mod local;
