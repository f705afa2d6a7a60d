//! What the actors need of the world. Adapters implement these; nothing here knows how.

pub mod copies;
pub mod journal;
pub mod link;
pub mod listings;
pub mod observe;
pub mod reply;
pub mod state;

pub use copies::Copies;
pub use journal::Journal;
pub use link::Link;
pub use listings::Listings;
pub use observe::Observe;
pub use reply::Reply;
pub use state::State;

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.ok().and_then(|time| u64::try_from(time.as_millis()).ok()).unwrap_or(0)
}

/// Ends the process. For failures after which memory and disk may disagree: a write, fsync or read that went wrong is
/// never tried again, because what a failed fsync left behind is unknown. Nothing is answered; peers repeat their
/// requests to whatever comes up next.
pub fn fail_stop(what: &str, error: &dyn std::fmt::Display) -> ! {
    tracing::error!("{what}: {error}; stopping at once, nothing unanswered counts as done");
    eprintln!("netpay-broker: {what}: {error}; stopped, nothing unanswered counts as done");
    // Not `exit`: it would close RocksDB under its running threads.
    std::process::abort()
}
