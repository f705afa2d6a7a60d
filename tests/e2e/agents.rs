//! The peer agent in real life.
