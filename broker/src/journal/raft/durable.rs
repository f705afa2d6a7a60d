//! How far the ledger is durable.
//!
//! The ledger is written without syncing, because the log holds everything once more. So the log may lose an entry only
//! after the ledger is sure to have it, and openraft does not see to that: of a snapshot that arrives, it purges the log
//! while the snapshot is still being put in place. A crash in between would leave a ledger that lacks entries, to which
//! all that comes later would seem stale.

use tokio::sync::watch;

/// Clones say the same.
#[derive(Clone, Default)]
pub struct Durable(watch::Sender<Option<u64>>);

impl Durable {
    /// Everything up to this entry is on disk, whatever happens.
    pub fn reach(&self, index: u64) {
        self.0.send_if_modified(|reached| {
            let further = reached.is_none_or(|reached| reached < index);
            if further {
                *reached = Some(index);
            }
            further
        });
    }

    /// Waits until that can be said of this entry.
    pub async fn wait(&self, index: u64) {
        let enough = |reached: &Option<u64>| reached.is_some_and(|reached| reached >= index);
        let waited = self.0.subscribe().wait_for(enough).await.map(|_| ());
        waited.expect("the sending half is this one");
    }
}
