//! A serving process, wired together. The only file that sees everything.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use netpay_ledger::event::Event;
use netpay_ledger::load;
use netpay_ledger::rows::Totals;
use netpay_protocol::ids::PeerId;
use netpay_protocol::key_list::SignedKeyList;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::actors::clock::Clock;
use crate::actors::drained::Drained;
use crate::actors::expiry::{ExpireNow, ExpiryActor};
use crate::actors::gateway::GatewayActor;
use crate::actors::index::IndexActor;
use crate::actors::ledger::LedgerActor;
use crate::actors::runtime::Actors;
use crate::actors::scan::{ScanActor, ScanNow};
use crate::actors::verify::budget::Budget;
use crate::actors::verify::{Desk, VerifyActor};
use crate::bus::events::Feed;
use crate::bus::inbox::{self, Inbox};
use crate::bus::service::{Bus, Running};
use crate::bus::{self, notices};
use crate::cli::told;
use crate::config::{Config, Role};
use crate::index::{IndexStore, Limits};
use crate::journal::local::LocalJournal;
use crate::keys::operator_id;
use crate::ports::reply::InFlight;
use crate::ports::{Copies, Observe, State, now_ms};
use crate::store::{Hold, Store};
use crate::telemetry::{http, metrics::Metrics};

/// How often the stored rows are scanned.
const SCAN_EVERY: Duration = Duration::from_secs(10);
/// How often e-coins whose time is over are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(5);
/// How long a stopping process waits for what it has begun.
const DRAIN: Duration = Duration::from_secs(10);

/// Sets a gauge to what is true now.
type Sample = Box<dyn Fn(&Metrics) + Send + Sync>;

/// What runs, in the order in which it stops.
#[derive(Default)]
struct Node {
    services: Vec<Running>,
    inbox: Option<inbox::Working>,
    tasks: Vec<JoinHandle<()>>,
    actors: Actors,
    samples: Vec<Sample>,
}

/// Serves until SIGTERM or Ctrl-C, then finishes what was begun.
pub async fn serve(config: Config, json: bool) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new()?);
    let in_flight = InFlight::default();
    let mut node = Node::default();
    // Directory and keys first: an error in these is the operator's to see, whatever NATS does.
    let hold = Hold::take(&config.dir)?;
    let desk_parts = if config.is(Role::Broker) {
        let store = Arc::new(Store::open(&config.ledger())?);
        if let Some(list) = listed_in(&*store)? {
            config.keys().take_over(&list, config.broker)?;
        }
        Some((store, config.keys().load(config.broker, now_ms())?))
    } else {
        None
    };
    let listings = if config.is(Role::Index) {
        let path = config.index();
        let store = IndexStore::open(&path, config.broker, Limits::default());
        Some(store.with_context(|| format!("index {} cannot be opened", path.display()))?)
    } else {
        None
    };

    let store = desk_parts.as_ref().map(|(store, _)| Arc::clone(store));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let client = bus::connect(&config, "netpay-broker").await?;
    let observe: Arc<dyn Observe> = Arc::<Metrics>::clone(&metrics);
    let bus = Bus { client: client.clone(), observe, in_flight: in_flight.clone() };
    if let Some((store, keys)) = desk_parts {
        node.start_broker(&config, &bus, &metrics, store, keys).await?;
    }
    if let Some(store) = listings {
        node.start_index(&config, &bus, store).await?;
    }

    // Ready means that requests arrive: the server has seen our subscriptions.
    bus::settle(&client).await?;

    let is_broker = config.is(Role::Broker);
    let ready: http::Readiness = {
        let (client, metrics) = (client.clone(), Arc::clone(&metrics));
        Arc::new(move || {
            if !bus::is_connected(&client) {
                return Err("not connected to NATS".into());
            }
            if is_broker && !metrics.is_sound() {
                return Err("the ledger scan has not finished, or found an invariant broken: see the log".into());
            }
            Ok(())
        })
    };
    let sample = {
        let (metrics, samples) = (Arc::clone(&metrics), std::mem::take(&mut node.samples));
        Arc::new(move || samples.iter().for_each(|sample| sample(&metrics)))
    };
    let (server, handle, http) = http::serve(&config.http, metrics, ready, sample)?;
    let server = tokio::spawn(server);
    announce(&config, &http.to_string(), json);

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: no new requests, finishing {} begun", in_flight.count());
    for service in node.services {
        service.stop().await;
    }
    if let Some(inbox) = node.inbox {
        inbox.stop().await;
    }
    let deadline = tokio::time::Instant::now() + DRAIN;
    while in_flight.count() > 0 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    node.tasks.iter().for_each(JoinHandle::abort);
    if let Err(error) = client.drain().await {
        tracing::warn!("NATS did not drain: {error}");
    }
    handle.stop(true).await;
    server.await.context("HTTP server")??;
    // Arbiters outlive their system, and pool threads end on their own time. RocksDB is closed here, after all of them and
    // before the process ends: closing it while the process exits crashes.
    node.actors.stop();
    drop((node.samples, bus));
    if let Some(store) = store {
        let deadline = tokio::time::Instant::now() + DRAIN;
        while Arc::strong_count(&store) > 1 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        anyhow::ensure!(Arc::strong_count(&store) == 1, "the ledger was still in use after {} s", DRAIN.as_secs());
    }
    drop(hold);
    Ok(())
}

fn announce(config: &Config, http: &str, json: bool) {
    let roles: Vec<_> = config.roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
    if json {
        let ready = serde_json::json!({
            "ready": true, "broker": config.broker.to_string(), "roles": roles, "http": http, "nats": config.nats_url,
        });
        println!("{ready}");
    } else {
        println!(
            "ready: {} for broker {} at {}, http://{http}/metrics",
            roles.join(" and "),
            config.broker,
            config.nats_url
        );
    }
}

/// The newest list of the broker's keys in the ledger: a rotation may have been cut off before its file was written.
fn listed_in(state: &dyn State) -> anyhow::Result<Option<SignedKeyList>> {
    let Some(keys) = load::totals(&state)?.keys else { return Ok(None) };
    let record = load::record(&state, keys.position)?.context("the ledger lacks the record of its key list")?;
    Ok(record.events.into_iter().find_map(|event| match event {
        Event::BrokerKeysRotated { list } => Some(*list),
        _ => None,
    }))
}

/// What waits for an operator is said at the start, not only to the peer who asks.
fn warn_of(totals: &Totals, clock: &Clock) {
    if let Some(restored) = totals.restored {
        tracing::warn!(
            "this ledger was restored from a backup that ends at position {}: payouts, refunds and debts wait until you \
             have gone through what was paid meanwhile, and said: netpay-broker ledger reconcile",
            restored.head.position
        );
    }
    if !clock.is_trusted() {
        tracing::warn!(
            "the clock jumped, or the last record (from {} ms) is more than a day old or from the future: refunds and debts \
             wait until you have looked at the clock, and said: netpay-broker ledger confirm-clock",
            totals.recorded_at_ms
        );
    }
}

impl Node {
    async fn start_broker(
        &mut self,
        config: &Config,
        bus: &Bus,
        metrics: &Arc<Metrics>,
        store: Arc<Store>,
        keys: crate::keys::BrokerKeys,
    ) -> anyhow::Result<()> {
        let state: Arc<dyn State> = Arc::<Store>::clone(&store);
        let copies: Arc<dyn Copies> = Arc::<Store>::clone(&store);
        let observe: Arc<dyn Observe> = Arc::<Metrics>::clone(metrics);
        let totals = load::totals(&&*state)?;
        metrics.start(&totals);
        let clock = Arc::new(Clock::new(&totals));
        warn_of(&totals, &clock);
        // Before anything is served: a gauge that nobody has set would say that refunds wait.
        observe.clock(clock.is_trusted());
        let drained = Arc::new(Drained::default());
        // Before the first refund: it waits for what lies there.
        let inbox = Inbox::open(bus, config.inbox, Arc::clone(&drained)).await?;
        let feed = Feed::open(bus, config.events, Arc::clone(&state), told::line, config.events_cursor()).await?;
        let journal = Box::new(LocalJournal::new(store)?);
        let writer = LedgerActor::new(Arc::clone(&state), journal, Arc::clone(&observe), Arc::clone(&clock), drained);
        let ledger = self.actors.start(config.queues.ledger, writer);
        let desk = Arc::new(Desk {
            keys,
            state: Arc::clone(&state),
            copies,
            ledger: ledger.clone(),
            policy: config.policy,
            operators: config.operators.clone(),
            incarnation: totals.incarnation(),
            clock: Arc::clone(&clock),
            budget: Budget::default(),
            revoked: Mutex::default(),
        });
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let shared = Arc::clone(&desk);
        let verify =
            self.actors.start_pool(threads, config.queues.verify, move || VerifyActor { desk: Arc::clone(&shared) });
        let gateway = self.actors.start(config.queues.gateway, GatewayActor { verify: verify.clone() });
        let scan = self.actors.start(1, ScanActor::new(Arc::clone(&state), Arc::clone(&observe)));
        let expiry = self.actors.start(1, ExpiryActor::new(state, ledger.clone(), clock, observe));

        self.services.push(bus.serve_broker(gateway.clone()).await?);
        self.inbox = inbox.map(|inbox| inbox.work(gateway.clone()));
        self.tasks.push(notices::publish(bus.client.clone(), desk));
        self.tasks.extend(feed.map(Feed::publish));
        self.tasks.push(tokio::spawn(async move {
            let mut every = tokio::time::interval(SCAN_EVERY);
            loop {
                every.tick().await;
                // One is still under way: the next will do.
                let _ = scan.try_send(ScanNow);
            }
        }));
        self.tasks.push(tokio::spawn(async move {
            let mut every = tokio::time::interval(EXPIRE_EVERY);
            loop {
                every.tick().await;
                let _ = expiry.try_send(ExpireNow);
            }
        }));
        self.samples.push(Box::new(move |metrics| {
            metrics.queued("gateway", gateway.waiting());
            metrics.queued("verify", verify.waiting());
            metrics.queued("ledger", ledger.waiting());
        }));
        Ok(())
    }

    async fn start_index(&mut self, config: &Config, bus: &Bus, store: IndexStore) -> anyhow::Result<()> {
        let index = self.actors.start(config.queues.index, IndexActor::new(config.broker, Box::new(store)));
        self.services.push(bus.serve_index(index.clone()).await?);
        let me: PeerId = operator_id(&config.keys().signing_key("index")?.public());
        self.tasks.push(notices::listen(bus.client.clone(), me, index.clone()).await?);
        self.samples.push(Box::new(move |metrics| metrics.queued("index", index.waiting())));
        Ok(())
    }
}
