//! Signatures and hashes that the books rest on, proven on all cores a group at a time.
//!
//! Books are kept in order and take what they are told; here it is proven, before anything is said to hold. Each proof
//! owns what it needs, so that none can change what another sees.

use std::num::NonZero;
use std::thread;

use super::{Difference, Error};

/// Proofs that wait, at most, and the bytes of the records that they come from.
const MOST_WAITING: usize = 4_096;
const MOST_BYTES: usize = 16 << 20;

type Proof = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// What waits to be proven.
#[derive(Default)]
pub(super) struct Proofs {
    waiting: Vec<(u64, Proof)>,
    bytes: usize,
    done: u64,
}

impl Proofs {
    /// That this is to be proven of the record at `position`.
    pub(super) fn owe(&mut self, position: u64, proof: impl FnOnce() -> Result<(), String> + Send + 'static) {
        self.waiting.push((position, Box::new(proof)));
    }

    /// That proofs come from a record of so many bytes.
    pub(super) fn weigh(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Whether it is time to settle.
    pub(super) fn are_many(&self) -> bool {
        self.waiting.len() >= MOST_WAITING || self.bytes >= MOST_BYTES
    }

    /// How many were proven.
    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// Proves all that waits. Of several that fail the first record's counts.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let mut waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        self.done += u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        let share = waiting.len().div_ceil(cores).max(1);
        let mut shares = Vec::new();
        while !waiting.is_empty() {
            let rest = waiting.split_off(share.min(waiting.len()));
            shares.push(std::mem::replace(&mut waiting, rest));
        }
        let failed = thread::scope(|scope| {
            let threads: Vec<_> = shares.into_iter().map(|share| scope.spawn(|| first_wrong(share))).collect();
            // Shares are in the log's order: the first that fails has the first difference.
            threads.into_iter().filter_map(|thread| thread.join().expect("a proof does not panic")).next()
        });
        failed.map_or(Ok(()), |difference| Err(difference.into()))
    }
}

fn first_wrong(share: Vec<(u64, Proof)>) -> Option<Difference> {
    share.into_iter().find_map(|(position, proof)| proof().err().map(|what| Difference { position, what }))
}
