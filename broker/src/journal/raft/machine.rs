//! The ledger as what the cluster's log is applied to.
//!
//! Every node applies the same entries to the same ledger by the same code, and comes to the same outcome: an entry that
//! was decided on another head is stale, here and everywhere. How far the log was applied, and by which members, is
//! written together with the rows.

use std::sync::{Arc, Mutex, PoisonError};

use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, LogId, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StoredMembership};
use serde_bytes::ByteBuf;

use super::durable::Durable;
use super::transfer::Receiving;
use super::types::{Cluster, LogEntry, Member, NodeId, Outcome, Progress, StorageError, decode, encode};
use crate::ports::fail_stop;
use crate::store::{self, Applied, Entry, Incoming, ReceiveError, Replica};

/// The most that is applied in one write, in bytes of records.
const APPLY_BYTES: usize = 4_000_000;

/// See the module.
pub struct Machine {
    replica: Arc<Replica>,
    progress: Progress,
    durable: Durable,
    current: Current,
}

/// What a snapshot is made of.
pub enum Copied {
    /// Made here, to be sent.
    Made(Arc<store::Snapshot>),
    /// Came from another node, to be put in place.
    Came(Box<Incoming>),
    /// Nothing yet.
    Nothing,
}

/// The snapshot that is sent to whoever needs one.
type Current = Arc<Mutex<Option<(Meta, Arc<store::Snapshot>)>>>;
type Meta = SnapshotMeta<NodeId, Member>;

/// The ledger is not tried again after it failed once.
fn certain<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| fail_stop(&format!("the cluster's ledger: {what}"), &error))
}

fn read_progress(replica: &Replica) -> Progress {
    let bytes = certain("it cannot be read", replica.progress());
    bytes.map(|bytes| certain("its place in the log is damaged", decode(&bytes))).unwrap_or_default()
}

impl Machine {
    /// Applies to this ledger.
    pub fn new(replica: Arc<Replica>) -> Self {
        let progress = read_progress(&replica);
        let durable = Durable::default();
        certain("it cannot be synced", replica.sync());
        if let Some(applied) = progress.applied {
            durable.reach(applied.index);
        }
        Self { replica, progress, durable, current: Current::default() }
    }

    /// How far the ledger is durable.
    pub fn durable(&self) -> Durable {
        self.durable.clone()
    }

    /// The last entry applied.
    pub fn applied(&self) -> Option<LogId<NodeId>> {
        self.progress.applied
    }

    /// What takes the snapshots that other nodes send.
    pub fn receiving(&self) -> Arc<Receiving> {
        Arc::new(Receiving::new(Arc::clone(&self.replica)))
    }

    fn builder(&self) -> Builder {
        Builder {
            replica: Arc::clone(&self.replica),
            durable: self.durable.clone(),
            current: Arc::clone(&self.current),
        }
    }

    /// What the ledger takes of an entry.
    fn take(&mut self, entry: LogEntry) -> Entry {
        let LogEntry { log_id, payload } = entry;
        let before = self.progress.applied.replace(log_id);
        let records = match payload {
            EntryPayload::Blank => vec![],
            EntryPayload::Membership(membership) => {
                self.progress.membership = StoredMembership::new(Some(log_id), membership);
                vec![]
            }
            EntryPayload::Normal(group) => {
                // To a ledger that lacks an entry, all that follow would be stale, here and nowhere else.
                if before.is_some_and(|before| before.index.checked_add(1) != Some(log_id.index)) {
                    fail_stop("the cluster's ledger", &format!("{log_id} does not follow {before:?}"));
                }
                let is_late = group.leader != Some(log_id.leader_id);
                if is_late { vec![] } else { group.records.into_iter().map(ByteBuf::into_vec).collect() }
            }
        };
        Entry { records, progress: encode(&self.progress) }
    }

    fn write(&self, entries: &mut Vec<Entry>, outcomes: &mut Vec<Outcome>) {
        let applied = certain("an entry cannot be applied", self.replica.apply(entries));
        outcomes.extend(applied.into_iter().map(|applied| match applied {
            Applied::Recorded => Outcome::Committed,
            Applied::Empty => Outcome::Nothing,
            Applied::Stale => Outcome::Stale,
        }));
        entries.clear();
    }
}

impl RaftStateMachine<Cluster> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<NodeId>>, StoredMembership<NodeId, Member>), StorageError> {
        Ok((self.progress.applied, self.progress.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcome>, StorageError>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let (mut taken, mut bytes, mut outcomes) = (Vec::new(), 0_usize, Vec::new());
        for entry in entries {
            let entry = self.take(entry);
            bytes = entry.records.iter().fold(bytes, |bytes, record| bytes.saturating_add(record.len()));
            taken.push(entry);
            if bytes >= APPLY_BYTES {
                self.write(&mut taken, &mut outcomes);
                bytes = 0;
            }
        }
        self.write(&mut taken, &mut outcomes);
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.builder()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Copied>, StorageError> {
        Ok(Box::new(Copied::Nothing))
    }

    async fn install_snapshot(&mut self, meta: &Meta, snapshot: Box<Copied>) -> Result<(), StorageError> {
        let (replica, meta) = (Arc::clone(&self.replica), meta.clone());
        let progress = Progress { applied: meta.last_log_id, membership: meta.last_membership.clone() };
        let installed = beside(move || {
            let incoming = match *snapshot {
                Copied::Came(incoming) => *incoming,
                Copied::Made(made) => carried(&replica, &made)?,
                Copied::Nothing => return Err(ReceiveError::Refused("nothing came".into())),
            };
            // Openraft believes in it already: there is no way back but to begin again from what is on disk.
            replica.install(incoming)?;
            Ok(read_progress(&replica))
        });
        if certain("a snapshot cannot be put in place", installed.await) != progress {
            fail_stop("the cluster's ledger", &"a snapshot is not from where its sender says");
        }
        self.progress = progress;
        if let Some(applied) = self.progress.applied {
            self.durable.reach(applied.index);
        }
        // Its sender's files are not ours: what this node would send is made here.
        let made = self.builder().make().await;
        self.builder().keep(meta, made);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Cluster>>, StorageError> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(current.as_ref().map(|(meta, made)| snapshot(meta.clone(), Arc::clone(made))))
    }
}

fn snapshot(meta: Meta, made: Arc<store::Snapshot>) -> Snapshot<Cluster> {
    Snapshot { meta, snapshot: Box::new(Copied::Made(made)) }
}

/// A snapshot of another ledger on this machine, as if it had come.
fn carried(replica: &Replica, made: &Arc<store::Snapshot>) -> Result<Incoming, ReceiveError> {
    let mut incoming = replica.receive(&made.manifest().to_bytes().map_err(ReceiveError::Refused)?)?;
    let mut reader = made.reader(incoming.expects());
    while let Some(chunk) = reader.next_chunk().map_err(|error| ReceiveError::Failed(error.to_string()))? {
        incoming.take(&chunk)?;
    }
    Ok(incoming)
}

/// Does what reads a whole ledger on a thread that may wait.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    certain("work on a snapshot was lost", tokio::task::spawn_blocking(work).await)
}

/// Makes a snapshot of what is applied, and of nothing that is applied meanwhile.
pub struct Builder {
    replica: Arc<Replica>,
    durable: Durable,
    current: Current,
}

impl Builder {
    async fn make(&self) -> Arc<store::Snapshot> {
        let replica = Arc::clone(&self.replica);
        Arc::new(certain("no snapshot can be made", beside(move || replica.checkpoint()).await))
    }

    /// What is in it is durable, and it is the one that is sent from now on.
    fn keep(&self, meta: Meta, made: Arc<store::Snapshot>) {
        if let Some(last) = meta.last_log_id {
            self.durable.reach(last.index);
        }
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // One that came from another node may have overtaken it.
        if current.as_ref().is_none_or(|(kept, _)| kept.last_log_id <= meta.last_log_id) {
            *current = Some((meta, made));
        }
    }
}

impl RaftSnapshotBuilder<Cluster> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Cluster>, StorageError> {
        let made = self.make().await;
        let manifest = made.manifest();
        let read = |bytes: &Vec<u8>| certain("its place in the log is damaged", decode::<Progress>(bytes));
        let progress = manifest.progress.as_ref().map(read).unwrap_or_default();
        // Whoever goes on with a transfer must find the same files: the id is theirs.
        let files = blake3::hash(&certain("no snapshot can be sent", manifest.to_bytes()));
        let (last_log_id, last_membership) = (progress.applied, progress.membership);
        let meta = Meta { last_log_id, last_membership, snapshot_id: files.to_hex().to_string() };
        self.keep(meta.clone(), Arc::clone(&made));
        Ok(snapshot(meta, made))
    }
}
