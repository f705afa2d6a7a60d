//! `netpay share`: which files are on offer, at what price.

use std::path::PathBuf;

use netpay_protocol::amounts::Units;
use netpay_protocol::ids::ContentId;
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::{MAX_NAME_BYTES, MAX_TAGS_BYTES};
use netpay_protocol::listing::{Withdraw, is_file_name};
use netpay_protocol::messages::TakeBack;
use serde_json::{Value, json};

use super::failure::Failure;
use super::session::{Session, now_ms};
use crate::content::tree::Tree;
use crate::ports::{self, Shares as _};

/// Files on offer. They are served, and found by others, while `netpay serve` runs.
#[derive(clap::Args, Debug)]
pub struct Share {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Offer a file. It stays where it is, and must not change while it is on offer.
    #[command(after_help = "Example:\n  netpay share add song.ogg --price 20 --tags \"free music\"")]
    Add {
        /// The file.
        file: PathBuf,
        /// The price of the whole, in units.
        #[arg(long, value_name = "UNITS")]
        price: u64,
        /// Words to be found by, separated by spaces.
        #[arg(long, default_value = "")]
        tags: String,
        /// What it is called; otherwise the file's name.
        #[arg(long)]
        name: Option<String>,
    },
    /// Show what is on offer.
    List,
    /// Offer it no more.
    Remove {
        /// Its content id.
        content: ContentId,
    },
}

fn object(share: &ports::Share) -> Value {
    json!({
        "content": share.content.to_string(),
        "name": share.name,
        "size_bytes": share.size_bytes,
        "price_units": share.price.0,
        "tags": share.tags,
        "path": share.path.display().to_string(),
    })
}

fn line(share: &ports::Share) -> String {
    format!("{}  {:>8} units  {:>12} bytes  {}\n", share.content, share.price, share.size_bytes, share.name)
}

fn too_long(text: &str, most: u32) -> bool {
    u32::try_from(text.len()).is_ok_and(|len| len > most)
}

impl Share {
    /// Runs it.
    pub async fn run(&self, session: &Session) -> Result<(), Failure> {
        match &self.command {
            Command::Add { file, price, tags, name } => add(session, file, *price, tags, name.as_deref()),
            Command::List => {
                let shares = session.store.read(|tx| tx.shares())?;
                let objects: Vec<Value> = shares.iter().map(object).collect();
                session.print(&json!({ "shares": objects }), || shares.iter().map(line).collect());
                Ok(())
            }
            Command::Remove { content } => remove(session, *content).await,
        }
    }
}

fn add(session: &Session, file: &std::path::Path, price: u64, tags: &str, name: Option<&str>) -> Result<(), Failure> {
    let at = |error| Failure::new(1, format!("{}: {error}", file.display()));
    let path = file.canonicalize().map_err(at)?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    };
    if !is_file_name(&name) || too_long(&name, MAX_NAME_BYTES) {
        return Err(Failure::new(2, format!("{name:?} is no name to save a file under; give one with --name")));
    }
    if too_long(tags, MAX_TAGS_BYTES) {
        return Err(Failure::new(2, format!("tags may have {MAX_TAGS_BYTES} bytes")));
    }
    if i64::try_from(price).is_err() {
        return Err(Failure::new(2, "there is not that much money"));
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
    session.print(&object(&share), || line(&share));
    Ok(())
}

async fn remove(session: &Session, content: ContentId) -> Result<(), Failure> {
    if !session.store.write(|tx| tx.remove_share(content))? {
        return Err(Failure::new(3, format!("{content} is not on offer here")));
    }
    let me = &session.home.identity;
    let withdraw =
        Withdraw { broker: session.home.config.broker, supplier: me.peer(), content, issued_at_ms: now_ms() };
    let back = TakeBack { withdraw: Signed::new(withdraw, &me.signing), key: me.signing.public() };
    // The listing lapses by itself; an index that cannot be reached now is no failure.
    let withdrawn = match session.connect().await {
        Ok(net) => net.withdraw(&back).await.is_ok(),
        Err(_) => false,
    };
    if !withdrawn {
        eprintln!("the index could not be told; the listing lapses by itself");
    }
    let object = json!({ "content": content.to_string(), "removed": true, "withdrawn": withdrawn });
    session.print(&object, || format!("{content} is on offer no more"));
    Ok(())
}
