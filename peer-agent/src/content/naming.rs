//! The last step of a download: the finished file gets its name, durably, and never a name that is another file's.
//!
//! Apart from [`super::partial`], because this is about folders and file systems and not about chunks.

use std::fs::{self, File};
use std::io::{self, Seek as _};
use std::path::Path;

use netpay_crash_point::agent::Point;
use netpay_protocol::ids::ContentId;

use super::partial::Error;

/// What becomes of a file that is already where the download is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and finishing is an error (unless it is the very content).
    Keep,
    /// It is replaced.
    Replace,
}

/// Names the synced file `part` `target`, and makes that durable. Afterwards there is no `part`.
pub(super) fn give(part: &Path, target: &Path, content: ContentId, existing: Existing) -> Result<(), Error> {
    match existing {
        Existing::Replace => fs::rename(part, target)?,
        Existing::Keep => give_unless_taken(part, target, content)?,
    }
    Point::FileNamed.reached();
    let folder = target.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(remove_if_there(part)?)
}

/// A link, and not a question followed by a renaming: between the two somebody else could take the name.
fn give_unless_taken(part: &Path, target: &Path, content: ContentId) -> Result<(), Error> {
    let taken = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::TargetExists(target.to_owned()),
        _ => error.into(),
    };
    match fs::hard_link(part, target) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let (there, ours) = (fs::metadata(target)?, fs::metadata(part)?);
            let same = there.is_file() && there.len() == ours.len() && is_content(&File::open(target)?, content)?;
            if same { Ok(()) } else { Err(taken(error)) }
        }
        // A file system without hard links: take the name with an empty file, which is then ours to replace.
        Err(_) => {
            File::create_new(target).map_err(taken)?;
            Ok(fs::rename(part, target)?)
        }
    }
}

/// Whether there is a file at `target` with the content.
pub fn is_there(target: &Path, content: ContentId) -> io::Result<bool> {
    match fs::metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        there => Ok(there?.is_file() && is_content(&File::open(target)?, content)?),
    }
}

/// Whether the whole file has the content's hash.
pub(super) fn is_content(mut file: &File, content: ContentId) -> io::Result<bool> {
    file.rewind()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(hasher.finalize() == content.0)
}

pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
