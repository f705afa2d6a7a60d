//! `netpay share`: which files and folders are on offer, at what price.

use std::path::{Path, PathBuf};

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{ContentId, PeerId};
use netpay_protocol::limits::{MAX_NAME_BYTES, MAX_TAGS_BYTES};
use netpay_protocol::listing::is_file_name;
use serde_json::{Value, json};

use super::candidates::Wanted;
use super::failure::Failure;
use super::serve::take_back;
use super::session::Session;
use crate::content::folder;
use crate::content::tree::Tree;
use crate::errands::patience;
use crate::getting::ticket::Ticket;
use crate::ports::{self, Folder, Folders as _, Shares as _, StoreError, Stored};
use crate::serving::folders;

/// Files on offer. They are served, and found by others, while `netpay serve` runs.
#[derive(clap::Args, Debug)]
pub struct Share {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Offer a file, or all files below a folder.
    #[command(
        after_help = "A file stays where it is, and must not change while it is on offer. The files of a folder are offered, hashed\nagain and withdrawn as they appear, change and vanish, while `netpay serve` runs; hidden files and links are left out.\nA folder that is added again gets the new price and tags.\n\nExamples:\n  netpay share add song.ogg --price 20 --tags \"free music\"\n  netpay share add music/ --price 5"
    )]
    Add {
        /// The file or folder.
        path: PathBuf,
        /// The price of the whole file, or of each file of the folder, in units.
        #[arg(long, value_name = "UNITS")]
        price: u64,
        /// Words to be found by, separated by spaces.
        #[arg(long, default_value = "")]
        tags: String,
        /// What a file is called; otherwise by its own name.
        #[arg(long)]
        name: Option<String>,
    },
    /// Show what is on offer, with a ticket for each to hand on.
    List,
    /// Offer a content or a folder no more.
    Remove {
        /// A content id, a ticket, or a folder.
        #[arg(value_name = "CONTENT|FOLDER")]
        what: String,
    },
}

fn object(share: &ports::Share, supplier: PeerId, folder: Option<&Path>) -> Value {
    json!({
        "content": share.content.to_string(),
        "name": share.name,
        "size_bytes": share.size_bytes,
        "price_units": share.price.0,
        "tags": share.tags,
        "path": share.path.display().to_string(),
        "folder": folder.map(|folder| folder.display().to_string()),
        "ticket": ticket(share, supplier).to_string(),
    })
}

fn ticket(share: &ports::Share, supplier: PeerId) -> Ticket {
    Ticket {
        content: share.content,
        supplier,
        size_bytes: Some(share.size_bytes),
        price: Some(share.price),
        name: Some(share.name.clone()),
    }
}

fn line(share: &ports::Share, supplier: PeerId) -> String {
    format!(
        "{}  {:>8} units  {:>12} bytes  {}\n  {}\n",
        share.content,
        share.price,
        share.size_bytes,
        share.name,
        ticket(share, supplier)
    )
}

fn too_long(text: &str, most: u32) -> bool {
    u32::try_from(text.len()).is_ok_and(|len| len > most)
}

impl Share {
    /// Runs it.
    pub async fn run(&self, session: &Session) -> Result<(), Failure> {
        match &self.command {
            Command::Add { path, price, tags, name } => add(session, path, *price, tags, name.as_deref()),
            Command::List => list(session),
            Command::Remove { what } => remove(session, what).await,
        }
    }
}

fn list(session: &Session) -> Result<(), Failure> {
    let me = session.home.identity.peer();
    let (shares, folders) = session.store.read(|tx| {
        let with_folder = |share: ports::Share| Ok((tx.folder_of(share.content)?, share));
        let shares = tx.shares()?.into_iter().map(with_folder).collect::<Stored<Vec<_>>>()?;
        let with_files = |folder: Folder| Ok((tx.folder_files(&folder.path)?.len(), folder));
        let folders = tx.folders()?.into_iter().map(with_files).collect::<Stored<Vec<_>>>()?;
        Ok::<_, StoreError>((shares, folders))
    })?;
    let objects: Vec<Value> = shares.iter().map(|(folder, share)| object(share, me, folder.as_deref())).collect();
    let folder_objects: Vec<Value> = folders.iter().map(|(files, folder)| folder_object(folder, *files)).collect();
    session.print(&json!({ "shares": objects, "folders": folder_objects }), || {
        let shares = shares.iter().map(|(_, share)| line(share, me));
        shares.chain(folders.iter().map(|(files, folder)| folder_line(folder, *files))).collect()
    });
    Ok(())
}

fn folder_object(folder: &Folder, files: usize) -> Value {
    json!({
        "path": folder.path.display().to_string(),
        "price_units": folder.price.0,
        "tags": folder.tags,
        "files": files,
    })
}

fn folder_line(folder: &Folder, files: usize) -> String {
    format!("folder {}  {} units each  {files} files\n", folder.path.display(), folder.price)
}

fn add_folder(session: &Session, folder: Folder) -> Result<(), Failure> {
    let path = &folder.path;
    if path.to_str().is_none() {
        return Err(Failure::new(2, format!("{}: a folder on offer has a path in UTF-8", path.display())));
    }
    // What is kept here is read by others only when it was paid for, but the keys are not for sale.
    let home = session.home.wallet_path();
    if home.canonicalize().is_ok_and(|home| home.starts_with(path)) {
        return Err(Failure::new(2, format!("{} has this peer's own keys and wallet in it", path.display())));
    }
    let files = session.store.write(|tx| {
        for held in tx.folders()? {
            if held.path != *path && (held.path.starts_with(path) || path.starts_with(&held.path)) {
                let text = format!("{} is on offer already, and one of the two lies in the other", held.path.display());
                return Err(Failure::new(2, text));
            }
        }
        folders::add(tx, &folder)?;
        Ok(tx.folder_files(path)?.len())
    })?;
    let found = folder::look(path).map_err(|error| Failure::new(1, format!("{}: {error}", path.display())))?;
    for (skipped, why) in &found.skipped {
        eprintln!("netpay: {skipped:?} is not offered: {why}");
    }
    let mut object = folder_object(&folder, files);
    object["found"] = json!(found.files.len());
    session.print(&object, || {
        let count = found.files.len();
        format!("{}{count} files found; they are offered while `netpay serve` runs", folder_line(&folder, files))
    });
    Ok(())
}

fn add(session: &Session, file: &Path, price: u64, tags: &str, name: Option<&str>) -> Result<(), Failure> {
    let at = |error| Failure::new(1, format!("{}: {error}", file.display()));
    let path = file.canonicalize().map_err(at)?;
    if too_long(tags, MAX_TAGS_BYTES) {
        return Err(Failure::new(2, format!("tags may have {MAX_TAGS_BYTES} bytes")));
    }
    if i64::try_from(price).is_err() {
        return Err(Failure::new(2, "there is not that much money"));
    }
    if path.is_dir() {
        if name.is_some() {
            return Err(Failure::new(2, "the files of a folder have their own names: leave --name away"));
        }
        return add_folder(session, Folder { path, price: Units(price), tags: tags.to_owned() });
    }
    let name = match name {
        Some(name) => name.to_owned(),
        None => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    if !is_file_name(&name) || too_long(&name, MAX_NAME_BYTES) {
        return Err(Failure::new(2, format!("{name:?} is no name to save a file under; give one with --name")));
    }
    let tree = Tree::of_file(&path).map_err(at)?;
    let share = ports::Share {
        content: tree.content(),
        path,
        name,
        size_bytes: tree.size_bytes(),
        price: Units(price),
        tags: tags.to_owned(),
        tree: tree.to_bytes(),
    };
    session.store.write(|tx| tx.put_share(&share))?;
    let me = session.home.identity.peer();
    session.print(&object(&share, me, None), || line(&share, me));
    Ok(())
}

async fn remove(session: &Session, what: &str) -> Result<(), Failure> {
    let Ok(Wanted { content, .. }) = what.parse() else { return remove_folder(session, Path::new(what)).await };
    if !session.store.write(|tx| tx.remove_share(content))? {
        return Err(Failure::new(3, format!("{content} is not on offer here")));
    }
    let withdrawn = withdraw(session, &[content]).await;
    let object = json!({ "content": content.to_string(), "removed": true, "withdrawn": withdrawn });
    session.print(&object, || format!("{content} is on offer no more"));
    Ok(())
}

async fn remove_folder(session: &Session, folder: &Path) -> Result<(), Failure> {
    // The folder itself may be gone.
    let path = folder.canonicalize().or_else(|_| std::path::absolute(folder));
    let path = path.map_err(|error| Failure::new(2, format!("{}: {error}", folder.display())))?;
    let Some(removed) = session.store.write(|tx| folders::remove(tx, &path))? else {
        let text = format!("{} is neither a content id, a ticket nor a folder on offer here", folder.display());
        return Err(Failure::new(3, text));
    };
    let withdrawn = withdraw(session, &removed).await;
    let contents: Vec<String> = removed.iter().map(ToString::to_string).collect();
    let path = path.display().to_string();
    let object = json!({ "path": path, "contents": contents, "removed": true, "withdrawn": withdrawn });
    session.print(&object, || format!("{path} is on offer no more, with {} files", removed.len()));
    Ok(())
}

/// Tells the index. The listings lapse by themselves; an index that cannot be reached now is no failure.
async fn withdraw(session: &Session, contents: &[ContentId]) -> bool {
    let (broker, me) = (session.home.config.broker, &session.home.identity);
    let mut withdrawn = false;
    if let Ok(net) = session.connect().await {
        withdrawn = true;
        for content in contents {
            let back = take_back(broker, *content, me);
            withdrawn &= patience::BROKER.ask(async || net.withdraw(&back).await).await.is_ok();
        }
    }
    if !withdrawn {
        eprintln!("the index could not be told; the listing lapses by itself");
    }
    withdrawn
}
