//! What operators watch: Prometheus metrics, and the HTTP page that serves them.

pub mod http;
pub mod metrics;
