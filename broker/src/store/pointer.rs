//! Which directory is the ledger.
//!
//! A node of a cluster may be sent a whole ledger, and must not let go of the one it has before the new one is whole. So
//! each lies in a directory of its own, a *generation*: `ledger.1`, `ledger.2`, …, and `ledger` is a link to the present
//! one. It changes by one rename, synced: after a crash it names the old or the new one. A single node's `ledger` is a
//! directory; [`adopt`] makes it a generation. Whoever opens `ledger` opens what it names then, by that one's own path
//! ([`present`]), and stays with it.
//!
//! Callers hold the broker's directory (`Hold`), except of `present`.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use netpay_crash_point::replica::Point;

/// A file in a generation that can go unless the ledger is a link to it. No file that another node sends has such a name.
const UNNEEDED: &str = ".unneeded";

/// The link on its way to the ledger's name.
fn next(ledger: &Path) -> PathBuf {
    ledger.with_extension("next")
}

fn parent(ledger: &Path) -> &Path {
    ledger.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(".".as_ref())
}

/// Makes the names in the ledger's parent durable.
fn sync_names(ledger: &Path) -> io::Result<()> {
    File::open(parent(ledger))?.sync_all()
}

/// The number of a generation, if this names one.
fn number(ledger: &Path, name: &Path) -> Option<u64> {
    let same = name.file_stem() == ledger.file_name();
    let number = name.extension()?.to_str()?.parse().ok()?;
    (same && generation(ledger, number).file_name() == name.file_name()).then_some(number)
}

fn generation(ledger: &Path, number: u64) -> PathBuf {
    ledger.with_extension(number.to_string())
}

/// The directory of the present ledger, by its own path. A crash in [`adopt`] can leave it under the next link only. A single
/// node's is taken as it is named: resolving the rest of a name can lead elsewhere (`/proc/PID/root` into our own root).
pub(super) fn present(ledger: &Path) -> io::Result<PathBuf> {
    if ledger.is_dir() && !is_link(ledger) {
        return Ok(ledger.to_owned());
    }
    match fs::canonicalize(ledger) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::canonicalize(next(ledger)),
        found => found,
    }
}

/// Whether the ledger is a generation, and not a single node's directory.
pub(super) fn is_link(ledger: &Path) -> bool {
    ledger.is_symlink()
}

/// Ends what [`adopt`] began before a crash: the ledger is under its own name again.
pub fn settle(ledger: &Path) -> io::Result<()> {
    if fs::symlink_metadata(ledger).is_err() && next(ledger).exists() {
        fs::rename(next(ledger), ledger)?;
        sync_names(ledger)?;
    }
    Ok(())
}

/// Makes a single node's directory, which nobody has open, a generation.
pub(super) fn adopt(ledger: &Path) -> io::Result<()> {
    let into = unused(ledger)?;
    link_next(ledger, &into)?;
    Point::AdoptLinked.reached();
    fs::rename(ledger, &into)?;
    sync_names(ledger)?;
    Point::AdoptMoved.reached();
    take_name(ledger)
}

/// Makes this generation, which is whole and durable, the present one.
pub(super) fn switch(ledger: &Path, into: &Path) -> io::Result<()> {
    link_next(ledger, into)?;
    Point::SwitchLinked.reached();
    take_name(ledger)
}

/// Whoever finds the next link but no ledger finds what it names: it is durable before anything moves.
fn link_next(ledger: &Path, to: &Path) -> io::Result<()> {
    let next = next(ledger);
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Relative, so that the broker's directory can be moved as a whole.
    symlink(to.file_name().ok_or(io::ErrorKind::InvalidInput)?, next)?;
    sync_names(ledger)
}

fn take_name(ledger: &Path) -> io::Result<()> {
    fs::rename(next(ledger), ledger)?;
    sync_names(ledger)?;
    Point::Switched.reached();
    Ok(())
}

/// The path of the next generation. There is nothing yet.
fn unused(ledger: &Path) -> io::Result<PathBuf> {
    let last = entries(ledger)?.iter().filter_map(|path| number(ledger, path)).max().unwrap_or(0);
    Ok(generation(ledger, last + 1))
}

/// Makes a directory for the next generation, not needed until the ledger is a link to it.
pub(super) fn begin(ledger: &Path) -> io::Result<PathBuf> {
    let path = fs::canonicalize(parent(ledger))?.join(unused(ledger)?.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    DirBuilder::new().mode(0o700).create(&path)?;
    mark_unneeded(&path)?;
    Ok(path)
}

/// Says of a generation that it can go, unless the ledger is a link to it.
pub(super) fn mark_unneeded(generation: &Path) -> io::Result<()> {
    File::create(generation.join(UNNEEDED))?;
    File::open(generation)?.sync_all()
}

/// The ledger is a link to it now: whoever moves that away to keep the ledger keeps this, too.
pub(super) fn unmark(generation: &Path) -> io::Result<()> {
    fs::remove_file(generation.join(UNNEEDED))?;
    File::open(generation)?.sync_all()
}

/// Where the snapshot with this number is made.
pub(super) fn snapshot(ledger: &Path, number: u64) -> PathBuf {
    ledger.with_extension(format!("snapshot-{number}"))
}

fn is_snapshot(ledger: &Path, name: &Path) -> bool {
    let digits = name.extension().and_then(|text| text.to_str()).and_then(|text| text.strip_prefix("snapshot-"));
    name.file_stem() == ledger.file_name() && digits.is_some_and(|digits| digits.parse::<u64>().is_ok())
}

/// Removes what earlier processes left: snapshots, a next link, and generations that were begun or replaced. Others stay,
/// whatever the ledger is a link to: who moves that link away to keep a ledger moves nothing else. The present ledger was
/// opened, and is marked no more.
pub(super) fn sweep(ledger: &Path) -> io::Result<()> {
    let present = fs::canonicalize(ledger)?;
    if next(ledger).is_symlink() {
        fs::remove_file(next(ledger))?;
    }
    for path in entries(ledger)?.iter().filter(|path| path.is_dir() && !path.is_symlink()) {
        let marked = path.join(UNNEEDED).exists();
        let begun = || marked || path.read_dir().is_ok_and(|mut files| files.next().is_none());
        if is_snapshot(ledger, path) {
            fs::remove_dir_all(path)?;
        } else if fs::canonicalize(path)? == present {
            if marked {
                unmark(path)?;
            }
        } else if number(ledger, path).is_some() && begun() {
            fs::remove_dir_all(path)?;
        }
    }
    sync_names(ledger)
}

fn entries(ledger: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(parent(ledger))?.map(|entry| Ok(entry?.path())).collect()
}
