//! Memory does not grow with the log. Measured in processes of their own, each with a log that it makes as it goes.

use std::process::Command;
use std::time::Instant;

use netpay_broker::audit::Audit;
use netpay_ledger::command::{Facts, Request};
use netpay_ledger::event::{Event, RedeemedClaim, SettledClaim};
use netpay_ledger::record::Record;
use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units, WordCount};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::chain::{ChainMaster, PaywordChain};
use netpay_protocol::ids::{Digest, EcoinId, Kid, PeerId, RequestId};
use netpay_protocol::index::{Grant, SignedIndex};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::{DAY_MS, HOUR_MS};
use netpay_protocol::redemption::Head;
use netpay_protocol::runs::Run;
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;

use crate::world::*;

const RECORDS: &str = "NETPAY_AUDIT_RECORDS";
const N: u32 = 16;
/// Small, so that the books of a short log are larger already.
const CACHE_KIB: u32 = 2 << 10;

/// Three records over and over: a deposit for a peer that nobody saw before, its purchase of an e-coin, and the
/// redemption of all its words.
struct Endless {
    head: Head,
    payer: SigningKey,
    coin: Option<(Signed<Touchstone>, PaywordChain)>,
}

impl Endless {
    fn id(&self, salt: u8) -> [u8; 16] {
        let name = [self.head.position.to_be_bytes().as_slice(), &[salt]].concat();
        *Digest::sha256(&name).0.first_chunk().expect("32 bytes")
    }

    fn next(&mut self) -> (u64, Vec<u8>) {
        let (request, events) = match self.head.position % 3 {
            0 => self.deposit(),
            1 => self.purchase(),
            _ => self.redemption(),
        };
        let facts =
            Facts { now_ms: START_MS + self.head.position, incarnation: 1, drained_to_ms: 0, clock_trusted: true };
        let record = Record::following(self.head, &facts, Some(request), events);
        self.head = record.head();
        (record.position, record.to_bytes())
    }

    fn opened(&self, key: &SigningKey) -> Event {
        let mut register = registration("anybody").content;
        register.signing_key = key.public();
        let register = Box::new(Signed::new(register, key));
        Event::AccountOpened { peer: PeerId::of(&key.public()), register, opened_at_ms: START_MS }
    }

    fn deposit(&mut self) -> (Request, Vec<Event>) {
        self.payer = SigningKey::from_seed(&Digest::sha256(&self.head.position.to_be_bytes()).0);
        let (peer, reference) = (PeerId::of(&self.payer.public()), self.head.position.to_string());
        let amount = Units(u64::from(N));
        let admin = Admin {
            broker: broker(),
            kid: Kid::of(&key("operator").public()),
            request: RequestId(self.id(1)),
            valid_until_ms: START_MS + HOUR_MS,
            order: wire::encode(&Order::Credit { peer, amount, reference: reference.clone() }),
        };
        let order = Box::new(Signed::new(admin, &key("operator")));
        (request_of(&order), vec![Event::FundsCredited { peer, amount, reference, order }])
    }

    fn purchase(&mut self) -> (Request, Vec<Event>) {
        let payer = PeerId::of(&self.payer.public());
        let order = BuyEcoins {
            broker: broker(),
            payer,
            request: RequestId(self.id(2)),
            valid_until_ms: START_MS + HOUR_MS,
            count: 1,
            n: PaywordIndex(N),
            suite: Suite::Sha256,
            unit_value: UnitValue(1),
            most_debited_units: Units(u64::from(N)),
            guarantee: Guarantee::Bearer,
        };
        let ecoin = EcoinId(self.id(3));
        let last = ChainMaster::new([9; 32]).last_word(Suite::Sha256, &ecoin, PaywordIndex(N));
        let chain = PaywordChain::below(Suite::Sha256, &ecoin, PaywordIndex(N), last);
        let touchstone = Touchstone {
            broker: broker(),
            kid: Kid::of(&key("touchstone").public()),
            ecoin,
            suite: Suite::Sha256,
            root: chain.root(),
            n: PaywordIndex(N),
            unit_value: UnitValue(1),
            payer,
            payer_key: self.payer.public(),
            payer_opened_at_ms: START_MS,
            issued_at_ms: START_MS + self.head.position,
            spend_until_ms: START_MS + DAY_MS,
            redeem_until_ms: START_MS + 30 * DAY_MS,
            guarantee: Guarantee::Bearer,
            incarnation: 1,
        };
        let touchstone = Signed::new(touchstone, &key("touchstone"));
        self.coin = Some((touchstone.clone(), chain));
        let request = Request { signer: payer, id: order.request, digest: order.digest() };
        let order = Box::new(Signed::new(order, &self.payer));
        let issued = Event::EcoinsIssued { order, touchstones: vec![touchstone], epoch: 1 };
        (request, vec![self.opened(&self.payer), issued])
    }

    /// Each e-coin's words go to bob in one claim.
    fn redemption(&mut self) -> (Request, Vec<Event>) {
        let (touchstone, chain) = self.coin.as_ref().expect("bought before");
        let (ecoin, payee) = (touchstone.content.ecoin, peer("bob"));
        let (from, through) = (PaywordIndex(1), PaywordIndex(N));
        let index = SignedIndex { broker: broker(), ecoin, from, to: through.next(), payee, order: Digest::ZERO };
        let claim = SettledClaim {
            ecoin,
            grant: Grant::from(&Signed::new(index, &self.payer)),
            through,
            word: chain.word(through).expect("the last word"),
            credited: vec![Run { from, through }],
            credited_units: Units(u64::from(N)),
            already_paid: WordCount(0),
            conflicting: WordCount(0),
        };
        let batch = Event::BatchRedeemed { payee, claims: vec![RedeemedClaim::Settled(Box::new(claim))] };
        let request = Request { signer: payee, id: RequestId(self.id(4)), digest: Digest::ZERO };
        let opening = (self.head.position == 2).then(|| self.opened(&key("bob")));
        (request, opening.into_iter().chain([batch]).collect())
    }
}

/// The most memory that this process ever had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process's own status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

fn audit_here(records: u64) {
    let scratch = tempfile::tempdir().expect("a directory");
    let mut log = Endless { head: Head::default(), payer: key("nobody"), coin: None };
    let mut audit = Audit::with_cache(trust(), scratch.path(), CACHE_KIB).expect("a scratch file");
    let (mut in_audit, started) = (std::time::Duration::ZERO, Instant::now());
    for _ in 0..records {
        let (position, bytes) = log.next();
        let since = Instant::now();
        audit.record(position, &bytes).expect("an honest record");
        in_audit += since.elapsed();
    }
    let since = Instant::now();
    let audited = audit.finish().expect("an honest log");
    in_audit += since.elapsed();
    assert_eq!(audited.figures().claims, records / 3);
    let (seconds, all) = (in_audit.as_secs_f64(), started.elapsed().as_secs_f64());
    println!("peak_kib={} audit_s={seconds:.1} all_s={all:.1}", peak_kib());
}

fn peak_of_a_child(records: u64) -> u64 {
    let this = std::env::current_exe().expect("this test");
    let child = Command::new(this)
        .args(["memory::memory_does_not_grow_with_the_log", "--exact", "--nocapture"])
        .env(RECORDS, records.to_string())
        .output()
        .expect("a process");
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{said}\n{}", String::from_utf8_lossy(&child.stderr));
    println!("{records} records: {}", said.lines().find(|line| line.contains("peak_kib=")).unwrap_or_default());
    let peak = said.split("peak_kib=").nth(1).and_then(|rest| rest.split_whitespace().next());
    peak.expect("a peak").parse().expect("a number")
}

/// Five times the records, and the books of the fewer are larger than the cache: within a tenth of the same memory.
#[test]
fn memory_does_not_grow_with_the_log() {
    if let Ok(records) = std::env::var(RECORDS) {
        return audit_here(records.parse().expect("a number"));
    }
    let (short, long) = (peak_of_a_child(12_000), peak_of_a_child(60_000));
    assert!(long < short + short / 10, "{short} KiB, then {long} KiB");
    assert!(long < 512 << 10, "{long} KiB");
}
