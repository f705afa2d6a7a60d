//! `netpay serve`: offers the shared files, takes payments, serves chunks, until it is told to stop.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use netpay_crash_point::agent::Point;
use netpay_protocol::ids::{BrokerId, ContentId};
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::MAX_LISTING_LIFE_MS;
use netpay_protocol::listing::{Listing, Withdraw};
use netpay_protocol::messages::{Announce, Done, TakeBack};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::subjects::{BrokerOp, PeerOp};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;

use super::failure::Failure;
use super::session::{self, Session, now_ms};
use super::upkeep::Upkeep;
use crate::errands::patience;
use crate::home::identity::Identity;
use crate::net::Net;
use crate::net::server::{Event, Incoming, Listening, Notice};
use crate::ports::{Broker as _, CallError, Share, Shares as _, StoreError};
use crate::serving::folders;
use crate::serving::shelf::Shelf;
use crate::serving::till_thread::{self, List, Server, TillDoor};
use crate::store::Store;
use crate::wallet::certificates;

/// Requests of other peers that are worked on at once.
const AT_ONCE: usize = 256;
/// How often the broker is asked for its lists.
const ASK_LISTS_EVERY: Duration = Duration::from_secs(120);
/// How often the shared files are looked through for news.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long what is under way may take when stopping.
const DRAIN: Duration = Duration::from_secs(5);

/// Serve the shared files and take payments. Needs no broker while the revocation list is fresh.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "What is accepted is in [policy] of peer.toml, and when it redeems by itself in [redeem]: --show-policy shows every\nsetting with its value, where that comes from, and what it means. NETPAY_ and the name in capitals stands over the file.\n\nExample:\n  NETPAY_REDEEM_AT_UNITS=500 netpay serve"
)]
pub struct Serve {
    /// How often the files are announced to the index, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=28_000))]
    announce_every: u64,
    /// Serve nothing: show the policy and the redemption schedule in force.
    #[arg(long)]
    show_policy: bool,
}

impl Serve {
    /// Runs it.
    pub async fn run(&self, session: Session) -> Result<(), Failure> {
        if self.show_policy {
            super::policy::show(&session);
            return Ok(());
        }
        session.check_keys()?;
        let net = session.connect().await?;
        if let Err(failure) = session.greet_broker(&net).await {
            eprintln!(
                "netpay: {}; payments are taken without it while the revocation list is younger than {} h",
                failure.text,
                session.home.config.policy.max_revocation_age_ms / netpay_protocol::limits::HOUR_MS
            );
        }
        let shares = session.store.read(|tx| tx.shares())?.len();
        let Session { home, store, json } = session;
        let (wallet, me) = (home.wallet_path(), home.identity.peer());
        drop(store);
        let announcer = Announcer {
            net: net.clone(),
            wallet: wallet.clone(),
            broker: home.config.broker,
            me: home.identity.copy(),
            every: Duration::from_secs(self.announce_every),
            told: HashMap::new(),
            unheard: false,
        };
        let shelf = Shelf::open(&wallet)?;
        folders::start(&wallet)?;
        let upkeep = Upkeep::start(&home, &net)?;
        let (door, till) = till_thread::start(Server {
            wallet,
            identity: home.identity,
            broker: home.config.broker,
            policy: home.config.policy,
            now_ms,
        })?;
        // Before anybody is told that this is ready: from then on a signal drains, and does not kill.
        let mut stop = Stop::listen().map_err(|error| Failure::new(1, error.to_string()))?;
        let mut listening = Listening::start(&net).await?;
        let announcing = tokio::spawn(announcer.work());
        let asking = tokio::spawn(ask_for_lists(net.clone(), door.clone()));
        let ready = json!({ "ready": true, "peer": me.to_string(), "shares": shares });
        session::print(json, &ready, || format!("ready: peer {me}, {shares} files on offer"));
        let desk = Desk { net: net.clone(), door, shelf, places: Arc::new(Semaphore::new(AT_ONCE)) };
        let stopped = desk.work(&mut listening, &mut stop).await;
        upkeep.stop().await;
        announcing.abort();
        asking.abort();
        let _ = asking.await;
        let places = desk.places.clone();
        // Every request that was taken is answered before the end.
        let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(DRAIN, places.acquire_many(all)).await;
        drop(desk);
        let _ = tokio::task::spawn_blocking(move || till.join()).await;
        net.flush().await;
        stopped
    }
}

/// The signals that end it.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
}

/// Takes what comes, and hands it to the till or the shelf.
struct Desk {
    net: Net,
    door: TillDoor,
    shelf: Shelf,
    places: Arc<Semaphore>,
}

impl Desk {
    async fn work(&self, listening: &mut Listening, stop: &mut Stop) -> Result<(), Failure> {
        loop {
            tokio::select! {
                event = listening.next() => match event {
                    Some(event) => self.take(event).await,
                    None => return Err(Failure::new(6, "the connection to NATS is gone")),
                },
                _ = stop.terminate.recv() => break,
                _ = stop.interrupt.recv() => break,
            }
        }
        listening.stop().await;
        let rest = async {
            while let Some(event) = listening.next().await {
                self.take(event).await;
            }
        };
        let _ = tokio::time::timeout(DRAIN, rest).await;
        Ok(())
    }

    async fn take(&self, event: Event) {
        let request = match event {
            Event::Notice(Notice::Keys(bytes)) => return self.door.bring(List::Keys(bytes)).await,
            Event::Notice(Notice::Revoked(bytes)) => {
                return self.door.bring(List::Revoked(bytes)).await;
            }
            Event::Request(request) => request,
        };
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let busy = Problem::new(Kind::Busy, "too much is waiting here: try again");
            return request.answer(&self.net, Err(busy)).await;
        };
        let (net, door, shelf) = (self.net.clone(), self.door.clone(), self.shelf.clone());
        tokio::spawn(async move {
            let Incoming { from, op, ref bytes, .. } = request;
            let bytes = bytes.clone();
            let answer = match op {
                PeerOp::Quote | PeerOp::Pay | PeerOp::Close | PeerOp::Certificate => door.ask(from, op, bytes).await,
                PeerOp::Chunk => tokio::task::spawn_blocking(move || shelf.chunk(from, &bytes))
                    .await
                    .unwrap_or_else(|_| Err(Problem::new(Kind::Unavailable, "stopping"))),
            };
            request.answer(&net, answer).await;
            Point::AnswerSent.reached();
            drop(place);
        });
    }
}

/// Asks the broker for its lists now and then; notices bring them too, while they get through.
async fn ask_for_lists(net: Net, door: TillDoor) {
    let mut away = false;
    loop {
        tokio::time::sleep(ASK_LISTS_EVERY + patience::part_of(ASK_LISTS_EVERY / 4)).await;
        // Asked again the next time round: that is patience enough.
        let keys = net.ask(BrokerOp::Keys, Vec::new()).await;
        let revoked = net.ask(BrokerOp::Notices, Vec::new()).await;
        match keys.and_then(|keys| Ok((keys, revoked?))) {
            Ok((keys, revoked)) => {
                if std::mem::replace(&mut away, false) {
                    eprintln!("netpay: the broker answers again");
                }
                door.bring(List::Keys(keys)).await;
                door.bring(List::Revoked(revoked)).await;
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    eprintln!("netpay: the broker cannot be asked for its lists, and is asked again: {error}");
                }
            }
        }
    }
}

/// Tells the index what is on offer, and again before the listings lapse.
struct Announcer {
    net: Net,
    wallet: PathBuf,
    broker: BrokerId,
    me: Identity,
    every: Duration,
    told: HashMap<ContentId, (Share, Instant)>,
    /// Whether the index did not take the last one: that is said once.
    unheard: bool,
}

impl Announcer {
    async fn work(mut self) {
        loop {
            match self.shares().await {
                Ok(shares) => self.announce(shares).await,
                Err(error) => tracing::warn!(%error, "what is on offer"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn shares(&self) -> Result<Vec<Share>, StoreError> {
        let wallet = self.wallet.clone();
        tokio::task::spawn_blocking(move || Store::open(&wallet)?.read(|tx| tx.shares()))
            .await
            .map_err(|error| StoreError(Box::new(error)))?
    }

    async fn announce(&mut self, shares: Vec<Share>) {
        self.withdraw(&shares).await;
        for share in shares {
            let told = self.told.get(&share.content);
            if told.is_some_and(|(as_was, at)| *as_was == share && at.elapsed() < self.every) {
                continue;
            }
            let key = &self.me.signing;
            let message = Announce { listing: Signed::new(self.listing(&share), key), key: key.public() };
            let mut answer = self.net.announce(&message).await;
            if is_not_my_key(&answer) && self.certify().await {
                answer = self.net.announce(&message).await;
            }
            match answer {
                Ok(_) => {
                    self.unheard = false;
                    self.told.insert(share.content, (share, Instant::now()));
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.unheard, true) {
                        tracing::warn!(%error, name = share.name, "the index does not list a file; it is told again");
                    }
                    return;
                }
            }
        }
    }

    /// Shows the index the broker's word on this peer's key, if there is one. Answers whether the index took it.
    async fn certify(&self) -> bool {
        let (wallet, me) = (self.wallet.clone(), self.me.peer());
        let held = tokio::task::spawn_blocking(move || Store::open(&wallet)?.read(|tx| certificates::held(tx, me)));
        let Ok(Ok(Some(certificate))) = held.await else { return false };
        self.net.certify(&certificate).await.is_ok()
    }

    /// Takes back what was told and is on offer no more.
    async fn withdraw(&mut self, shares: &[Share]) {
        let is_offered = |content: &ContentId| shares.iter().any(|share| share.content == *content);
        let gone: Vec<ContentId> = self.told.keys().filter(|content| !is_offered(content)).copied().collect();
        for content in gone {
            let back = take_back(self.broker, content, &self.me);
            match self.net.withdraw(&back).await {
                Ok(_) => {
                    self.told.remove(&content);
                }
                Err(error) => {
                    tracing::warn!(%error, %content, "the index still lists what is not on offer");
                    return;
                }
            }
        }
    }

    fn listing(&self, share: &Share) -> Listing {
        let now_ms = now_ms();
        let every_ms = u64::try_from(self.every.as_millis()).unwrap_or(u64::MAX);
        let life_ms = every_ms.saturating_mul(3).saturating_add(60_000);
        Listing {
            broker: self.broker,
            supplier: self.me.peer(),
            content: share.content,
            size_bytes: share.size_bytes,
            price_units: share.price,
            issued_at_ms: now_ms,
            expires_ms: now_ms.saturating_add(life_ms.min(MAX_LISTING_LIFE_MS)),
            name: share.name.clone(),
            media_type: media_type(&share.name).into(),
            tags: share.tags.clone(),
        }
    }
}

/// Whether the index does not know, or has forgotten, that this peer's key is another than its first.
fn is_not_my_key(answer: &Result<Done, CallError>) -> bool {
    matches!(answer, Err(CallError::Problem(problem)) if problem.kind == Kind::NotForMe)
}

/// The word that a listing counts no more.
pub fn take_back(broker: BrokerId, content: ContentId, me: &Identity) -> TakeBack {
    let withdraw = Withdraw { broker, supplier: me.peer(), content, issued_at_ms: now_ms() };
    TakeBack { withdraw: Signed::new(withdraw, &me.signing), key: me.signing.public() }
}

/// A guess by the name's ending; it is for searching only.
fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("txt" | "md") => "text/plain",
        Some("html") => "text/html",
        Some("pdf") => "application/pdf",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("ogg") => "audio/ogg",
        Some("mp3") => "audio/mpeg",
        Some("mp4") => "video/mp4",
        _ => "application/octet-stream",
    }
}
