//! Two books that must be the same: what the clients wrote down of the answers they got, and what the ledger holds.
//!
//! The clients' is filled by the load, never from a view of the broker's. The ledger's is read from the directory of a
//! broker that is stopped: rows and records, each record hashed on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use netpay_broker::ports::State as _;
use netpay_broker::store::Store;
use netpay_ledger::event::{Event, RedeemedClaim};
use netpay_ledger::record::Record;
use netpay_ledger::rows::{AccountRow, DebtRow, EcoinRow, PayoutRow, ReferenceRow, RequestRow, RunRow, Table};
use netpay_protocol::ids::{Digest, EcoinId, PeerId, RequestId};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::payout::{PayoutKey, PayoutState};
use netpay_protocol::redemption::{Head, Line};
use netpay_tests::events;

use crate::post::Post;

/// A request, by its signer and id.
pub type Asked = (PeerId, RequestId);

/// A debt: the debtor, the creditor, the e-coin that was spent twice.
pub type Debt = (PeerId, PeerId, EcoinId);

/// What there is, as one side has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Books {
    /// Every account's units.
    pub balances: BTreeMap<PeerId, u64>,
    /// Who is suspended.
    pub suspended: BTreeSet<PeerId>,
    /// Σ of what each owes.
    pub debts: BTreeMap<Debt, u64>,
    /// The keys of everybody who rotated them, the present one last.
    pub keys: BTreeMap<PeerId, Vec<PublicKey>>,
    /// Every e-coin and its payer.
    pub ecoins: BTreeMap<EcoinId, PeerId>,
    /// Every run paid, by its first word: the last one, and to whom.
    pub runs: BTreeMap<(EcoinId, u32), (u32, PeerId)>,
    /// Every payout: units, and how it stands.
    pub payouts: BTreeMap<PayoutKey, (u64, &'static str)>,
    /// Every deposit.
    pub references: BTreeMap<String, (PeerId, u64)>,
    /// Every request that has an outcome, by the digest of what was signed.
    pub requests: BTreeMap<Asked, Digest>,
    /// The lines of every recorded batch.
    pub statements: BTreeMap<Asked, Vec<Line>>,
    /// The e-coins of every purchase.
    pub purchases: BTreeMap<Asked, BTreeSet<EcoinId>>,
}

/// The name of how a payout stands.
pub fn state_name(state: &PayoutState) -> &'static str {
    match state {
        PayoutState::Requested => "requested",
        PayoutState::Settled { .. } => "settled",
        PayoutState::Failed { .. } => "failed",
    }
}

impl Books {
    /// Money arrived at a peer.
    pub fn credit(&mut self, peer: PeerId, units: u64) {
        *self.balances.entry(peer).or_insert(0) += units;
    }

    /// Money left it.
    pub fn debit(&mut self, peer: PeerId, units: u64) {
        let balance = self.balances.entry(peer).or_insert(0);
        *balance = balance.checked_sub(units).expect("the broker said yes to more than there was");
    }

    /// Holds these books against others. A difference is told without printing both whole.
    pub fn must_equal(&self, ledger: &Self) {
        compare("balances", &self.balances, &ledger.balances);
        assert_eq!(self.suspended, ledger.suspended, "suspended: the clients' book, and the ledger");
        compare("debts", &self.debts, &ledger.debts);
        compare("keys", &self.keys, &ledger.keys);
        compare("e-coins", &self.ecoins, &ledger.ecoins);
        compare("runs", &self.runs, &ledger.runs);
        compare("payouts", &self.payouts, &ledger.payouts);
        compare("references", &self.references, &ledger.references);
        compare("statements", &self.statements, &ledger.statements);
        compare("purchases", &self.purchases, &ledger.purchases);
        compare("requests", &self.requests, &ledger.requests);
    }
}

fn compare<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    what: &str,
    clients: &BTreeMap<K, V>,
    ledger: &BTreeMap<K, V>,
) {
    let lost: Vec<_> = clients.iter().filter(|(key, value)| ledger.get(key) != Some(value)).collect();
    let extra: Vec<_> = ledger.iter().filter(|(key, value)| clients.get(key) != Some(value)).collect();
    assert!(
        lost.is_empty() && extra.is_empty(),
        "{what}: acknowledged, but not in the ledger: {lost:?}; in the ledger, but never acknowledged: {extra:?}"
    );
}

/// A stopped broker's directory, read whole.
pub struct Read {
    /// What its rows say, and the outcomes in its records.
    pub books: Books,
    /// The hash of every record.
    pub log: BTreeMap<u64, Digest>,
    /// Every event with its time, in ms, and the request that led to it.
    events: Vec<(&'static str, u64, Option<RequestId>)>,
}

impl Read {
    /// Reads it.
    pub fn from(ledger: &Path) -> Self {
        let store = Store::open_read_only(ledger).expect("a ledger");
        let (mut books, mut log, mut events) = (Books::default(), BTreeMap::new(), Vec::new());
        let mut before = Head::default();
        let read = store.each_record(1, &mut |_, bytes| {
            let (record, head) = Record::read(bytes, before)?;
            log.insert(head.position, head.hash);
            before = head;
            books.take_record(&record);
            let request = record.request.map(|request| request.id);
            events.extend(record.events.iter().map(|event| (events::name(event), record.recorded_at_ms, request)));
            Ok(())
        });
        read.expect("an unbroken log");
        store.each_row(&mut |table, key, value| books.take_row(table, key, value).expect("a row")).expect("rows");
        Self { books, log, events }
    }

    /// Adds its events to what happened: all of them, and those that were recorded before their broker died unheard.
    pub fn count(&self, post: &Post) {
        let settled = post.settled();
        for (kind, at_ms, request) in &self.events {
            post.tally.count(kind);
            if request.and_then(|id| *settled.get(&id)?).is_some_and(|died_ms| *at_ms <= died_ms) {
                post.tally.count(format!("{kind}, its reply lost"));
            }
        }
    }

    /// Whether this very head was in the log.
    pub fn contains(&self, head: &Head) -> bool {
        head.position == 0 || self.log.get(&head.position) == Some(&head.hash)
    }
}

impl Books {
    fn take_record(&mut self, record: &Record) {
        let Some(request) = record.request else { return };
        for event in &record.events {
            match event {
                Event::BatchRedeemed { claims, .. } => {
                    let lines = claims.iter().map(RedeemedClaim::line).collect();
                    self.statements.insert((request.signer, request.id), lines);
                }
                Event::EcoinsIssued { touchstones, .. } => {
                    let ecoins = touchstones.iter().map(|t| t.content.ecoin).collect();
                    self.purchases.insert((request.signer, request.id), ecoins);
                }
                _ => {}
            }
        }
    }

    fn take_row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Option<()> {
        let id = |at: usize| -> Option<[u8; 16]> { key.get(at..at + 16)?.try_into().ok() };
        match table {
            Table::Accounts => {
                let row: AccountRow = minicbor::decode(value).ok()?;
                self.balances.insert(PeerId(id(0)?), row.balance.0);
                if row.suspended_at_ms.is_some() {
                    self.suspended.insert(PeerId(id(0)?));
                }
                if let (Some(opened), Some(mut keys)) = (row.opened, row.former_keys) {
                    keys.push(opened.register.content.signing_key);
                    self.keys.insert(PeerId(id(0)?), keys);
                }
            }
            Table::Ecoins => {
                let row: EcoinRow = minicbor::decode(value).ok()?;
                self.ecoins.insert(EcoinId(id(0)?), row.touchstone.content.payer);
            }
            Table::Runs => {
                let row: RunRow = minicbor::decode(value).ok()?;
                let first = u32::from_be_bytes(key.get(16..20)?.try_into().ok()?);
                self.runs.insert((EcoinId(id(0)?), first), (row.through.0, row.payee));
            }
            Table::Debts => {
                let row: DebtRow = minicbor::decode(value).ok()?;
                self.debts.insert((PeerId(id(0)?), PeerId(id(16)?), EcoinId(id(32)?)), row.open.0);
            }
            Table::Payouts => {
                let row: PayoutRow = minicbor::decode(value).ok()?;
                let payout = PayoutKey { peer: PeerId(id(0)?), request: RequestId(id(16)?) };
                self.payouts.insert(payout, (row.amount.0, state_name(&row.state)));
            }
            Table::References => {
                let row: ReferenceRow = minicbor::decode(value).ok()?;
                self.references.insert(String::from_utf8(key.to_vec()).ok()?, (row.peer, row.amount.0));
            }
            Table::Requests => {
                let row: RequestRow = minicbor::decode(value).ok()?;
                self.requests.insert((PeerId(id(0)?), RequestId(id(16)?)), row.digest);
            }
            _ => {}
        }
        Some(())
    }
}
