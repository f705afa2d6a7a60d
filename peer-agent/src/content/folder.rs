//! What lies below a folder that is on offer: regular files, by size and time of change.
//!
//! Apart, because it alone walks folders. Follows no link and so never leaves the folder; leaves out what is hidden,
//! what is no regular file, and what has a name that others cannot save. Reads no content.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use netpay_protocol::limits::MAX_NAME_BYTES;
use netpay_protocol::listing::is_file_name;

use super::filename::is_unfinished;

/// Files of one folder at most.
const MAX_FILES: usize = 10_000;

/// How a file was when it was looked at. One that is written to does not stay like that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Its size.
    pub size_bytes: u64,
    /// When it was changed last, in nanoseconds since 1970.
    pub modified_ns: u64,
}

/// What lies below a folder.
#[derive(Clone, Default, Debug)]
pub struct Look {
    /// The files that can be on offer.
    pub files: BTreeMap<PathBuf, Seen>,
    /// What is left out, and why.
    pub skipped: Vec<(PathBuf, &'static str)>,
}

/// Looks through a folder. One that is not there has no files.
pub fn look(folder: &Path) -> io::Result<Look> {
    let mut look = Look::default();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        let entries = match fs::read_dir(&next) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) if next == folder => return Err(error),
            Err(_) => {
                look.skipped.push((next, "it cannot be read"));
                continue;
            }
        };
        for entry in entries {
            let path = entry?.path();
            // It may have vanished since.
            let Ok(is) = fs::symlink_metadata(&path) else { continue };
            match why_not(&path, &is) {
                Some("") => {}
                Some(why) => look.skipped.push((path, why)),
                None if is.is_dir() => folders.push(path),
                None if look.files.len() == MAX_FILES => look.skipped.push((path, "the folder has too many files")),
                None => {
                    look.files.insert(path, seen(&is));
                }
            }
        }
    }
    Ok(look)
}

/// How a file is now, if it is still a file and no link leads to it.
pub fn look_at(path: &Path) -> Option<Seen> {
    let is = fs::symlink_metadata(path).ok()?;
    let leads_elsewhere = fs::canonicalize(path).ok()? != path;
    (is.is_file() && !leads_elsewhere).then(|| seen(&is))
}

fn seen(is: &Metadata) -> Seen {
    let (seconds, rest) = (u64::try_from(is.mtime()).unwrap_or(0), u64::try_from(is.mtime_nsec()).unwrap_or(0));
    let modified_ns = seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    // The database keeps 63 bits.
    Seen { size_bytes: is.len(), modified_ns: modified_ns & (u64::MAX >> 1) }
}

/// Why an entry is left out; the empty word for what nobody would expect to be on offer.
fn why_not(path: &Path, is: &Metadata) -> Option<&'static str> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Some("its name is not UTF-8");
    };
    if name.starts_with('.') || is_unfinished(name) {
        return Some("");
    }
    if path.to_str().is_none() {
        return Some("its path is not UTF-8");
    }
    if is.is_symlink() {
        return Some("it is a link");
    }
    if !is_file_name(name) || u32::try_from(name.len()).is_ok_and(|length| length > MAX_NAME_BYTES) {
        return Some("others cannot save a file of this name");
    }
    if !is.is_file() && !is.is_dir() {
        return Some("it is neither a file nor a folder");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_below_the_folder_are_seen_and_the_rest_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let (folder, outside) = (dir.path().join("shared"), dir.path().join("outside"));
        for made in [folder.join("deep/er"), folder.join(".hidden"), outside.clone()] {
            fs::create_dir_all(made).expect("made");
        }
        for file in ["shared/a", "shared/deep/er/b", "shared/.bashrc", "shared/.hidden/c", "shared/x.part", "outside/d"]
        {
            fs::write(dir.path().join(file), file).expect("written");
        }
        fs::write(folder.join("line\nbreak"), "").expect("written");
        std::os::unix::fs::symlink(&outside, folder.join("out")).expect("linked");
        std::os::unix::fs::symlink(outside.join("d"), folder.join("d")).expect("linked");
        std::os::unix::net::UnixListener::bind(folder.join("socket")).expect("bound");
        let look = look(&folder).expect("read");
        let files: Vec<_> = look.files.keys().map(|path| path.strip_prefix(&folder).expect("below")).collect();
        assert_eq!(files, [Path::new("a"), Path::new("deep/er/b")]);
        let mut skipped: Vec<_> = look.skipped.iter().map(|(path, _)| path.file_name().expect("a name")).collect();
        skipped.sort();
        assert_eq!(skipped, ["d", "line\nbreak", "out", "socket"]);
        assert!(super::look(&dir.path().join("nowhere")).expect("no files").files.is_empty());
    }

    #[test]
    fn a_file_that_a_link_leads_to_is_not_looked_at() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("there");
        fs::create_dir(root.join("real")).expect("made");
        fs::write(root.join("real/a"), "a").expect("written");
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).expect("linked");
        assert!(look_at(&root.join("real/a")).is_some());
        assert!(look_at(&root.join("link/a")).is_none());
        assert!(look_at(&root.join("real")).is_none());
    }
}
