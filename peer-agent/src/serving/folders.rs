//! Keeps the folders on offer in step with the disk: what appears is hashed and offered, what changes is hashed again,
//! what vanishes is withdrawn.
//!
//! Runs on a thread of its own, because hashing takes long. A file is hashed when two looks in a row found it the same,
//! so that one that is being written is left until it is whole. What a person offered by its file is never touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use netpay_crash_point::agent::Point;
use netpay_protocol::ids::ContentId;

use crate::content::folder::{self, Seen};
use crate::content::tree::Tree;
use crate::ports::{Folder, FolderFile, Folders, Share, Shares, StoreError, Stored};
use crate::store::Store;

/// How often the folders are looked through.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Starts the thread. It ends with the process: nothing of it is ever half done.
pub fn start(wallet: &Path) -> Result<(), StoreError> {
    let mut watch = Watch::new(Store::open(wallet)?);
    let work = move || {
        loop {
            if let Err(error) = watch.round() {
                tracing::warn!(%error, "the folders on offer");
            }
            std::thread::sleep(LOOK_EVERY);
        }
    };
    std::thread::Builder::new().name("folders".into()).spawn(work).map_err(|error| StoreError(Box::new(error)))?;
    Ok(())
}

/// Looks through the folders again and again.
pub struct Watch {
    store: Store,
    before: BTreeMap<PathBuf, BTreeMap<PathBuf, Seen>>,
    told: BTreeSet<PathBuf>,
}

impl Watch {
    /// One that has seen nothing yet.
    pub fn new(store: Store) -> Self {
        Self { store, before: BTreeMap::new(), told: BTreeSet::new() }
    }

    /// Looks through all folders once.
    pub fn round(&mut self) -> Stored<()> {
        let folders = self.store.read(|tx| tx.folders())?;
        self.before.retain(|path, _| folders.iter().any(|folder| folder.path == *path));
        for folder in folders {
            match folder::look(&folder.path) {
                Ok(look) => {
                    for (path, why) in look.skipped {
                        if self.told.insert(path.clone()) {
                            tracing::warn!(path = %path.display(), why, "not on offer");
                        }
                    }
                    self.follow(&folder, look.files)?;
                }
                Err(error) => tracing::warn!(path = %folder.path.display(), %error, "a folder on offer"),
            }
        }
        Ok(())
    }

    fn follow(&mut self, folder: &Folder, now: BTreeMap<PathBuf, Seen>) -> Stored<()> {
        let known = self.store.read(|tx| tx.folder_files(&folder.path))?;
        let is_same = |file: &FolderFile| {
            now.get(&file.path) == Some(&Seen { size_bytes: file.size_bytes, modified_ns: file.modified_ns })
        };
        let (same, gone): (Vec<_>, Vec<_>) = known.into_iter().partition(is_same);
        for file in gone {
            self.store.write(|tx| withdraw(tx, &file))?;
        }
        let hashed: BTreeSet<PathBuf> = same.into_iter().map(|file| file.path).collect();
        let before = self.before.remove(&folder.path).unwrap_or_default();
        for (path, seen) in &now {
            if !hashed.contains(path) && before.get(path) == Some(seen) {
                self.hash(&folder.path, path, *seen)?;
            }
        }
        self.before.insert(folder.path.clone(), now);
        Ok(())
    }

    /// Hashes a file and offers it, if it stayed as it was seen.
    fn hash(&self, folder: &Path, path: &Path, seen: Seen) -> Stored<()> {
        if folder::look_at(path) != Some(seen) {
            return Ok(());
        }
        let tree = match Tree::of_file(path) {
            Ok(tree) => tree,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "not on offer");
                return Ok(());
            }
        };
        if folder::look_at(path) != Some(seen) {
            return Ok(());
        }
        let Seen { size_bytes, modified_ns } = seen;
        let file = FolderFile { path: path.to_owned(), size_bytes, modified_ns, content: tree.content() };
        Point::FolderHashed.reached();
        self.store.write(|tx| offer(tx, folder, &file, tree.to_bytes()))?;
        Point::FolderOffered.reached();
        Ok(())
    }
}

/// Offers a file of a folder.
fn offer(store: &(impl Folders + Shares), folder: &Path, file: &FolderFile, tree: Vec<u8>) -> Stored<()> {
    // A person may have removed the folder meanwhile.
    let Some(folder) = store.folders()?.into_iter().find(|held| held.path == folder) else { return Ok(()) };
    store.put_folder_file(&folder.path, file)?;
    match store.share(file.content)? {
        None => put(store, &folder, file, tree),
        // It is on offer already: by a person, or under another name.
        Some(_) => Ok(()),
    }
}

/// A file of a folder vanished or was changed.
fn withdraw(store: &(impl Folders + Shares), file: &FolderFile) -> Stored<()> {
    store.forget_folder_file(&file.path)?;
    let Some(share) = share_of_folder(store, file.content)?.filter(|share| share.path == file.path) else {
        return Ok(());
    };
    store.remove_share(file.content)?;
    // Another file has the same content.
    if let Some((path, other)) = store.file_with(file.content)?
        && let Some(folder) = store.folders()?.into_iter().find(|folder| folder.path == path)
    {
        put(store, &folder, &other, share.tree)?;
    }
    Ok(())
}

/// Adds a folder, or gives one that is on offer another price or other tags.
pub fn add(store: &(impl Folders + Shares), folder: &Folder) -> Stored<()> {
    store.put_folder(folder)?;
    for file in store.folder_files(&folder.path)? {
        if let Some(share) = share_of_folder(store, file.content)?.filter(|share| share.path == file.path) {
            put(store, folder, &file, share.tree)?;
        }
    }
    Ok(())
}

/// Withdraws a folder with all that it put on offer; answers these contents, or nothing if there is no such folder.
pub fn remove(store: &(impl Folders + Shares), path: &Path) -> Stored<Option<Vec<ContentId>>> {
    let mut removed = Vec::new();
    for file in store.folder_files(path)? {
        withdraw(store, &file)?;
        if store.share(file.content)?.is_none() {
            removed.push(file.content);
        }
    }
    Ok(store.remove_folder(path)?.then_some(removed))
}

/// A share that a folder put on offer.
fn share_of_folder(store: &(impl Folders + Shares), content: ContentId) -> Stored<Option<Share>> {
    match store.folder_of(content)? {
        Some(_) => store.share(content),
        None => Ok(None),
    }
}

fn put(store: &(impl Folders + Shares), folder: &Folder, file: &FolderFile, tree: Vec<u8>) -> Stored<()> {
    let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    store.put_share(&Share {
        content: file.content,
        path: file.path.clone(),
        name,
        size_bytes: file.size_bytes,
        price: folder.price,
        tags: folder.tags.clone(),
        tree,
    })?;
    store.mark_share(file.content, &folder.path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use netpay_protocol::amounts::Units;

    use super::*;

    struct Scene {
        dir: tempfile::TempDir,
        watch: Watch,
    }

    impl Scene {
        fn new() -> Self {
            let scene = Self {
                dir: tempfile::tempdir().expect("a directory"),
                watch: Watch::new(Store::in_memory().expect("memory")),
            };
            fs::create_dir(scene.folder().path).expect("made");
            scene.watch.store.write(|tx| add(tx, &scene.folder())).expect("added");
            scene
        }

        fn folder(&self) -> Folder {
            let path = self.dir.path().canonicalize().expect("there").join("music");
            Folder { path, price: Units(7), tags: "free".into() }
        }

        fn write(&self, name: &str, text: &str) -> ContentId {
            fs::write(self.folder().path.join(name), text).expect("written");
            ContentId(blake3::hash(text.as_bytes()).into())
        }

        fn rounds(&mut self) {
            for _ in 0..2 {
                self.watch.round().expect("looked");
            }
        }

        /// Names and contents on offer.
        fn offered(&self) -> Vec<(String, ContentId)> {
            let shares = self.watch.store.read(|tx| tx.shares()).expect("read");
            shares.into_iter().map(|share| (share.name, share.content)).collect()
        }
    }

    #[test]
    fn what_appears_changes_or_vanishes_is_offered_hashed_again_and_withdrawn() {
        let mut scene = Scene::new();
        let a = scene.write("a", "one");
        scene.rounds();
        assert_eq!(scene.offered(), [("a".into(), a)]);
        let share = scene.watch.store.read(|tx| tx.share(a)).expect("read").expect("there");
        assert_eq!((share.price, share.tags.as_str()), (Units(7), "free"));
        let changed = scene.write("a", "three");
        scene.watch.round().expect("looked");
        assert_eq!(scene.offered(), [], "what was there is not there any more");
        scene.watch.round().expect("looked");
        assert_eq!(scene.offered(), [("a".into(), changed)]);
        fs::remove_file(scene.folder().path.join("a")).expect("removed");
        scene.watch.round().expect("looked");
        assert_eq!(scene.offered(), []);
    }

    #[test]
    fn a_file_that_is_still_being_written_is_left_until_it_is_whole() {
        let mut scene = Scene::new();
        for text in ["o", "on", "one"] {
            scene.write("a", text);
            scene.watch.round().expect("looked");
            assert_eq!(scene.offered(), [], "{text}");
        }
        scene.watch.round().expect("looked");
        assert_eq!(scene.offered().len(), 1);
    }

    #[test]
    fn of_two_files_with_one_content_the_other_is_offered_when_one_vanishes() {
        let mut scene = Scene::new();
        let content = scene.write("a", "one");
        scene.write("b", "one");
        scene.rounds();
        assert_eq!(scene.offered(), [("a".into(), content)]);
        fs::remove_file(scene.folder().path.join("a")).expect("removed");
        scene.watch.round().expect("looked");
        assert_eq!(scene.offered(), [("b".into(), content)]);
        fs::remove_file(scene.folder().path.join("b")).expect("removed");
        scene.watch.round().expect("looked");
        assert_eq!(scene.offered(), []);
    }

    #[test]
    fn what_a_person_offered_keeps_its_price_and_stays() {
        let mut scene = Scene::new();
        let content = scene.write("a", "one");
        scene.rounds();
        let own =
            Share { price: Units(99), ..scene.watch.store.read(|tx| tx.share(content)).expect("read").expect("there") };
        scene.watch.store.write(|tx| tx.put_share(&own)).expect("kept");
        let two = Share { content: scene.write("b", "two"), price: Units(98), ..own.clone() };
        scene.watch.store.write(|tx| tx.put_share(&two)).expect("kept");
        scene.rounds();
        assert_eq!(scene.watch.store.read(|tx| tx.share(two.content)).expect("read"), Some(two));
        scene.watch.store.write(|tx| add(tx, &Folder { price: Units(8), ..scene.folder() })).expect("added");
        fs::remove_file(scene.folder().path.join("a")).expect("removed");
        scene.rounds();
        scene.watch.store.write(|tx| remove(tx, &scene.folder().path)).expect("removed");
        assert_eq!(scene.watch.store.read(|tx| tx.share(content)).expect("read"), Some(own));
    }

    #[test]
    fn a_folder_that_is_added_again_changes_its_price_and_one_that_is_removed_takes_all_along() {
        let mut scene = Scene::new();
        let content = scene.write("a", "one");
        scene.write("b", "one");
        scene.rounds();
        let dearer = Folder { price: Units(8), ..scene.folder() };
        scene.watch.store.write(|tx| add(tx, &dearer)).expect("added");
        assert_eq!(scene.watch.store.read(|tx| tx.share(content)).expect("read").expect("there").price, Units(8));
        let removed = scene.watch.store.write(|tx| remove(tx, &dearer.path)).expect("removed");
        assert_eq!(removed, Some(vec![content]));
        scene.rounds();
        assert_eq!(scene.offered(), []);
        assert_eq!(scene.watch.store.write(|tx| remove(tx, &dearer.path)).expect("asked"), None);
    }

    #[test]
    fn a_file_that_becomes_a_link_to_the_outside_is_withdrawn() {
        let mut scene = Scene::new();
        scene.write("a", "one");
        scene.rounds();
        let path = scene.folder().path.join("a");
        fs::remove_file(&path).expect("removed");
        fs::write(scene.dir.path().join("secret"), "one").expect("written");
        std::os::unix::fs::symlink(scene.dir.path().join("secret"), &path).expect("linked");
        scene.rounds();
        assert_eq!(scene.offered(), []);
    }
}
