//! The port for folders on offer: what the store keeps of them.
//!
//! Apart from [`crate::ports`], which names it, because nothing of it is about money.

use std::path::{Path, PathBuf};

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::ContentId;

use crate::ports::Stored;

/// A folder whose files are on offer, all at one price.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Folder {
    /// Where it is, without links on the way.
    pub path: PathBuf,
    /// The price of each file.
    pub price: Units,
    /// Words that each file is to be found by.
    pub tags: String,
}

/// A file of a folder, as it was when it was hashed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FolderFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size then.
    pub size_bytes: u64,
    /// When it had been changed last, in nanoseconds since 1970.
    pub modified_ns: u64,
    /// Its BLAKE3 hash.
    pub content: ContentId,
}

/// Folders on offer, and what of them is.
pub trait Folders {
    /// Adds or replaces one.
    fn put_folder(&self, folder: &Folder) -> Stored<()>;
    /// All, by path.
    fn folders(&self) -> Stored<Vec<Folder>>;
    /// Removes one; answers whether it was there. Its files are to be forgotten first.
    fn remove_folder(&self, path: &Path) -> Stored<bool>;
    /// The files of one that were hashed, by path.
    fn folder_files(&self, folder: &Path) -> Stored<Vec<FolderFile>>;
    /// Adds or replaces one.
    fn put_folder_file(&self, folder: &Path, file: &FolderFile) -> Stored<()>;
    /// Forgets one.
    fn forget_folder_file(&self, path: &Path) -> Stored<()>;
    /// A file of a folder that has this content, if there is one: (its folder, the file).
    fn file_with(&self, content: ContentId) -> Stored<Option<(PathBuf, FolderFile)>>;
    /// Says that a folder put a share on offer, and not a person.
    fn mark_share(&self, content: ContentId, folder: &Path) -> Stored<()>;
    /// The folder that put a share on offer.
    fn folder_of(&self, content: ContentId) -> Stored<Option<PathBuf>>;
}
