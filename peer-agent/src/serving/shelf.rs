//! Chunks off the files on offer, for those who paid. Reads only.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex};

use netpay_crash_point::agent::Point;
use netpay_protocol::ids::{ContentId, PeerId};
use netpay_protocol::messages::{AskChunk, Chunk};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::wire;

use super::{Answer, malformed, unavailable};
use crate::content::tree::Tree;
use crate::ports::{Share, Shares as _, StoreError};
use crate::store::Store;
use crate::till::accepting::Refused;
use crate::till::offering;

/// Cuts chunks from the files on offer.
#[derive(Clone)]
pub struct Shelf(Arc<Mutex<Books>>);

/// Orders and files, and the trees that were needed before.
type Books = (Store, HashMap<ContentId, Arc<Tree>>);

impl Shelf {
    /// Opens the shelf.
    pub fn open(wallet: &Path) -> Result<Self, StoreError> {
        let store = Store::open(wallet)?;
        Ok(Self(Arc::new(Mutex::new((store, HashMap::new())))))
    }

    /// A chunk with its proof, if its order pays for it. Reads files: not for an async thread.
    pub fn chunk(&self, from: PeerId, bytes: &[u8]) -> Answer {
        match self.cut(from, bytes) {
            Ok(bytes) => Ok(bytes),
            Err(Refused::Problem(problem)) => Err(problem),
            Err(Refused::Store(error)) => {
                tracing::error!(%error, "no chunk was served");
                Err(unavailable())
            }
        }
    }

    fn cut(&self, from: PeerId, bytes: &[u8]) -> Result<Vec<u8>, Refused> {
        let ask: AskChunk = wire::decode(bytes).map_err(malformed)?;
        let (share, tree) = self.find(from, &ask)?;
        Point::ChunkServing.reached();
        // A file that was changed since is found out here: the tree no longer fits.
        let slice = open(&share.path).and_then(|file| tree.slice(&file, ask.index));
        let slice = slice.map_err(|error| {
            tracing::error!(path = %share.path.display(), %error, "a file on offer cannot be served");
            Problem::new(Kind::NotFound, "the content is not here any more")
        })?;
        Ok(wire::encode(&Chunk { slice }))
    }

    fn find(&self, from: PeerId, ask: &AskChunk) -> Result<(Share, Arc<Tree>), Refused> {
        let mut shelf = self.0.lock().map_err(|_| unavailable())?;
        let (store, trees) = &mut *shelf;
        let share = store.read(|tx| {
            let content = offering::may_serve(tx, from, ask.order, ask.index)?;
            let gone = || Problem::new(Kind::NotFound, "the content is not on offer any more");
            Ok::<_, Refused>(tx.share(content)?.ok_or_else(gone)?)
        })?;
        let tree = match trees.get(&share.content) {
            Some(tree) => tree.clone(),
            None => {
                let tree = Tree::from_bytes(share.content, share.size_bytes, &share.tree)
                    .map_err(|error| StoreError(Box::new(error)))?;
                let tree = Arc::new(tree);
                trees.insert(share.content, tree.clone());
                tree
            }
        };
        Ok((share, tree))
    }
}

/// Opens a file. Asked before, because opening a pipe that took its place would wait for its other end.
fn open(path: &Path) -> std::io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is no file any more"));
    }
    File::open(path)
}
