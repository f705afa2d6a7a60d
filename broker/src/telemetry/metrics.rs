//! Prometheus metrics. The only file that knows the library.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use netpay_ledger::rows::Totals;
use netpay_ledger::scan::Findings;
use prometheus::{
    Encoder as _, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};

use crate::ports::{Observe, now_ms};

/// Every metric of the broker.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    commit_seconds: HistogramVec,
    commands: HistogramVec,
    queue: GaugeVec,
    ledger: Vec<(Gauge, Figure)>,
    imbalance: Gauge,
    escrow_gap: Gauge,
    broken: Gauge,
    scan_position: Gauge,
    scan_age: Gauge,
    clock: Gauge,
    clock_looks: IntCounter,
    inbox: [Gauge; 3],
    inbox_handled: IntCounterVec,
    events_position: Gauge,
    scanned_at_ms: AtomicU64,
}

fn gauge(registry: &Registry, name: &str, help: &str) -> anyhow::Result<Gauge> {
    let gauge = Gauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
    buckets: &[f64],
) -> anyhow::Result<HistogramVec> {
    let histogram = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), &[label])?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

/// Money and counts as Prometheus has them: exact up to 2^53.
#[allow(clippy::as_conversions, clippy::cast_precision_loss)]
fn float(number: i128) -> f64 {
    number as f64
}

/// One of the ledger's totals.
type Figure = fn(&Totals) -> f64;

/// A metric taken from the ledger's totals: name, help, and which of them.
type FromTotals = (&'static str, &'static str, Figure);

const LEDGER: [FromTotals; 9] = [
    ("netpay_ecoins_issued_total", "E-coins ever sold.", |t| float(t.ecoins_issued.into())),
    ("netpay_words_redeemed_total", "Paywords ever credited.", |t| float(t.words_redeemed.into())),
    ("netpay_double_spends_total", "Double spends ever recorded.", |t| float(t.double_spends.into())),
    ("netpay_escrow_units", "Sold, not yet redeemed or refunded.", |t| float(t.escrow.0.into())),
    ("netpay_balances_units", "Sum of all accounts.", |t| float(t.peers.0.into())),
    ("netpay_debts_units", "Owed by double spenders.", |t| float(t.debts.0.into())),
    ("netpay_ledger_reconciled", "1, or 0 while a restored ledger waits for `ledger reconcile`.", |t| {
        float(i128::from(t.restored.is_none()))
    }),
    ("netpay_accounts", "Accounts.", |t| float(t.accounts.into())),
    ("netpay_ledger_position", "Records in the log.", |t| float(t.head.position.into())),
];

const SECONDS: [f64; 12] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

impl Metrics {
    /// Registers everything.
    pub fn new() -> anyhow::Result<Self> {
        let registry = Registry::new();
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process))?;
        let requests = IntCounterVec::new(
            Opts::new("netpay_requests_total", "Requests answered; result is ok or a problem's name."),
            &["op", "result"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        let queue = GaugeVec::new(Opts::new("netpay_queue_waiting", "Messages waiting in a queue."), &["queue"])?;
        registry.register(Box::new(queue.clone()))?;
        let clock_looks = IntCounter::new(
            "netpay_clock_looks_total",
            "How often the clock was looked at, before refunding what is due.",
        )?;
        registry.register(Box::new(clock_looks.clone()))?;
        let inbox_handled = IntCounterVec::new(
            Opts::new(
                "netpay_inbox_handled_total",
                "Messages of the inbox: settled, rejected, set_aside, or later (they come again); why.",
            ),
            &["outcome", "reason"],
        )?;
        registry.register(Box::new(inbox_handled.clone()))?;
        let ledger = LEDGER.iter().map(|(name, help, get)| Ok((gauge(&registry, name, help)?, *get)));
        Ok(Self {
            requests,
            request_seconds: histogram(&registry, "netpay_request_seconds", "From arrival to answer.", "op", &SECONDS)?,
            commit_seconds: histogram(
                &registry,
                "netpay_commit_seconds",
                "Deciding and committing a group.",
                "journal",
                &SECONDS,
            )?,
            commands: histogram(
                &registry,
                "netpay_commit_commands",
                "Commands committed together.",
                "journal",
                &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0],
            )?,
            queue,
            ledger: ledger.collect::<anyhow::Result<_>>()?,
            imbalance: gauge(
                &registry,
                "netpay_ledger_imbalance_units",
                "Sum over all accounts, found by scanning the stored rows; not 0 means money came from nowhere.",
            )?,
            escrow_gap: gauge(
                &registry,
                "netpay_ledger_escrow_gap_units",
                "Escrow less the worth of live e-coins, by the same scan.",
            )?,
            broken: gauge(&registry, "netpay_ledger_invariants_broken", "Invariants found broken by the same scan.")?,
            scan_position: gauge(&registry, "netpay_ledger_scan_position", "Position of the last scan.")?,
            scan_age: gauge(&registry, "netpay_ledger_scan_age_seconds", "Age of the last scan.")?,
            clock: gauge(&registry, "netpay_clock_trusted", "1, or 0 while refunds wait for `ledger confirm-clock`.")?,
            clock_looks,
            inbox: [
                gauge(&registry, "netpay_inbox_waiting", "Batches that peers left in the inbox.")?,
                gauge(
                    &registry,
                    "netpay_inbox_oldest_age_seconds",
                    "Since when the oldest of them waits; refunds wait for it.",
                )?,
                gauge(&registry, "netpay_inbox_set_aside", "Messages that `inbox list` shows as set aside.")?,
            ],
            inbox_handled,
            events_position: gauge(
                &registry,
                "netpay_events_position",
                "Records that the event feed has published; 0 without one.",
            )?,
            scanned_at_ms: AtomicU64::new(0),
            registry,
        })
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self) -> String {
        let age_ms = now_ms().saturating_sub(self.scanned_at_ms.load(Ordering::Acquire));
        self.scan_age.set(float(age_ms.into()) / 1_000.0);
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.map_or_else(|error| format!("# {error}\n"), |()| String::from_utf8_lossy(&text).into_owned())
    }

    /// Whether the last scan found everything in order; false before the first.
    pub fn is_sound(&self) -> bool {
        self.scanned_at_ms.load(Ordering::Acquire) > 0 && self.broken.get() == 0.0
    }

    /// Shows totals before the first commit.
    pub fn start(&self, totals: &Totals) {
        self.ledger.iter().for_each(|(gauge, get)| gauge.set(get(totals)));
    }
}

impl Observe for Metrics {
    fn answered(&self, op: &'static str, result: &'static str, took: Duration) {
        self.requests.with_label_values(&[op, result]).inc();
        self.request_seconds.with_label_values(&[op]).observe(took.as_secs_f64());
    }

    fn committed(&self, totals: &Totals, commands: usize, took: Duration) {
        self.start(totals);
        self.commit_seconds.with_label_values(&["local"]).observe(took.as_secs_f64());
        let commands = i128::try_from(commands).unwrap_or(i128::MAX);
        self.commands.with_label_values(&["local"]).observe(float(commands));
    }

    fn scanned(&self, findings: &Findings, at_ms: u64) {
        self.imbalance.set(float(findings.imbalance));
        self.escrow_gap.set(float(findings.escrow_gap));
        self.broken.set(float(i128::try_from(findings.broken.len()).unwrap_or(i128::MAX)));
        self.scan_position.set(float(findings.totals.head.position.into()));
        self.scanned_at_ms.store(at_ms, Ordering::Release);
    }

    fn clock(&self, trusted: bool) {
        self.clock.set(f64::from(u8::from(trusted)));
        self.clock_looks.inc();
    }

    fn inbox(&self, waiting: u64, oldest: Duration, set_aside: u64) {
        let [waits, age, aside] = &self.inbox;
        waits.set(float(waiting.into()));
        age.set(oldest.as_secs_f64());
        aside.set(float(set_aside.into()));
    }

    fn published(&self, position: u64) {
        self.events_position.set(float(position.into()));
    }

    fn inbox_handled(&self, outcome: &'static str, reason: &'static str) {
        self.inbox_handled.with_label_values(&[outcome, reason]).inc();
    }

    fn queued(&self, queue: &'static str, waiting: usize) {
        let waiting = i128::try_from(waiting).unwrap_or(i128::MAX);
        self.queue.with_label_values(&[queue]).set(float(waiting));
    }
}
