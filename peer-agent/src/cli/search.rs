//! `netpay search`: asks the Central Indexing Server, and believes the suppliers' signatures only.

use std::collections::BTreeSet;
use std::time::Duration;

use netpay_protocol::ids::BrokerId;
use netpay_protocol::limits::MAX_SEARCH_RESULTS;
use netpay_protocol::listing::Listing;
use netpay_protocol::messages::{self, Hit};
use netpay_protocol::subjects::PeerOp;
use netpay_protocol::wire;
use serde_json::{Value, json};

use super::failure::Failure;
use super::session::{Session, now_ms};
use crate::errands::patience;
use crate::net::Net;
use crate::ports::{StoreError, Supplier as _};
use crate::wallet::{broker_lists, certificates};

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

/// How long suppliers are waited for, all together, that have other keys than their first and must show the broker's word.
const CERTIFICATES_IN: Duration = Duration::from_secs(2);

/// Whether a hit is signed, for this broker's money, and not lapsed. Whose key signed is looked at besides.
fn is_good(hit: &Hit, broker: BrokerId, now_ms: u64) -> bool {
    let listing = &hit.listing.content;
    hit.listing.verify(&hit.key).is_ok() && listing.broker == broker && listing.expires_ms > now_ms
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
    let mut good: Vec<Hit> = hits.hits.into_iter().filter(|hit| is_good(hit, broker, now_ms())).collect();
    learn_keys(session, net, &good).await?;
    let speaks = |hit: &Hit| is_known(session, hit);
    let known = good.iter().map(speaks).collect::<Result<Vec<_>, _>>()?;
    let mut known = known.into_iter();
    good.retain(|_| known.next().unwrap_or(false));
    Ok((good.into_iter().map(|hit| (hit.listing.content, hit.online)).collect(), hits.more))
}

/// Whether a hit's key speaks for its supplier, as far as is known here.
fn is_known(session: &Session, hit: &Hit) -> Result<bool, StoreError> {
    session.store.read(|tx| certificates::speaks_for(tx, hit.listing.content.supplier, &hit.key))
}

/// Asks suppliers whose keys are not their first for the broker's word. One that is away, or has none, is not found.
async fn learn_keys(session: &Session, net: &Net, hits: &[Hit]) -> Result<(), Failure> {
    let broker = session.home.config.broker;
    let Some(keys) = session.store.read(|tx| broker_lists::keys(tx, broker))? else { return Ok(()) };
    let mut unknown = BTreeSet::new();
    for hit in hits {
        if !is_known(session, hit)? {
            unknown.insert(hit.listing.content.supplier);
        }
    }
    let asking = unknown.into_iter().map(|supplier| async move {
        let line = net.to_peer(supplier);
        let asked = line.ask(PeerOp::Certificate, Vec::new());
        Some((supplier, tokio::time::timeout(CERTIFICATES_IN, asked).await.ok()?.ok()?))
    });
    for (supplier, bytes) in futures::future::join_all(asking).await.into_iter().flatten() {
        let Ok(certificate) = wire::decode(&bytes) else { continue };
        match session.store.write(|tx| certificates::take(tx, &keys, supplier, &certificate)) {
            Err(certificates::NotKept::Store(error)) => return Err(error.into()),
            Err(why) => tracing::warn!(%supplier, %why, "a supplier's certificate was not believed"),
            Ok(()) => {}
        }
    }
    Ok(())
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
