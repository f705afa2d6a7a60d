//! `netpay search`: asks the Central Indexing Server, and believes the suppliers' signatures only.

use netpay_protocol::ids::{BrokerId, PeerId};
use netpay_protocol::limits::MAX_SEARCH_RESULTS;
use netpay_protocol::listing::Listing;
use netpay_protocol::messages::{self, Hit};
use serde_json::{Value, json};

use super::failure::Failure;
use super::session::{Session, now_ms};
use crate::errands::patience;
use crate::net::Net;

/// Find content. All words must be found, as a whole or as a beginning.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  netpay search free music")]
pub struct Search {
    /// What to look for.
    #[arg(required = true)]
    words: Vec<String>,
    /// The most hits.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SEARCH_RESULTS)))]
    limit: u32,
    /// How many hits to skip.
    #[arg(long, default_value_t = 0)]
    skip: u32,
}

/// Whether a hit is its supplier's own word, for this broker's money, and not lapsed.
fn is_good(hit: &Hit, broker: BrokerId, now_ms: u64) -> bool {
    let listing = &hit.listing.content;
    PeerId::of(&hit.key) == listing.supplier
        && hit.listing.verify(&hit.key).is_ok()
        && listing.broker == broker
        && listing.expires_ms > now_ms
}

/// Asks, and leaves out what is not its supplier's word. Answers whether there is more.
pub async fn ask(
    session: &Session,
    net: &Net,
    text: String,
    skip: u32,
    limit: u32,
) -> Result<(Vec<(Listing, bool)>, bool), Failure> {
    let search = messages::Search { text, skip, limit };
    let asked = patience::BROKER.ask(async || net.search(&search).await).await;
    let hits = asked.map_err(|error| {
        let failure = Failure::from(error);
        Failure::new(failure.code, format!("the index (CIS): {}", failure.text))
    })?;
    let broker = session.home.config.broker;
    let good = hits
        .hits
        .into_iter()
        .filter(|hit| is_good(hit, broker, now_ms()))
        .map(|hit| (hit.listing.content, hit.online))
        .collect();
    Ok((good, hits.more))
}

impl Search {
    /// Runs it.
    pub async fn run(&self, session: &Session) -> Result<(), Failure> {
        let net = session.connect().await?;
        let (hits, more) = ask(session, &net, self.words.join(" "), self.skip, self.limit).await?;
        let objects: Vec<Value> = hits
            .iter()
            .map(|(listing, online)| {
                json!({
                    "content": listing.content.to_string(),
                    "name": listing.name,
                    "size_bytes": listing.size_bytes,
                    "price_units": listing.price_units.0,
                    "media_type": listing.media_type,
                    "tags": listing.tags,
                    "supplier": listing.supplier.to_string(),
                    "online": online,
                })
            })
            .collect();
        session.print(&json!({ "hits": objects, "more": more }), || {
            let mut text = String::new();
            for (listing, online) in &hits {
                text += &format!(
                    "{}\n  {:>8} units  {:>12} bytes  {}  from {}{}\n",
                    listing.content,
                    listing.price_units,
                    listing.size_bytes,
                    listing.name,
                    listing.supplier,
                    if *online { "" } else { "  (not online)" }
                );
            }
            if hits.is_empty() {
                text += "nothing found\n";
            }
            text
        });
        Ok(())
    }
}
