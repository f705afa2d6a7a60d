//! An honest story, told to the real ledger, and lies about it.
//!
//! The log is what `decide` made of honest commands. A lie changes a record and chains all that follow anew, as a broker
//! would that rewrites its log: nothing but what the record says gives it away.

use std::collections::BTreeMap;
use std::path::Path;

use netpay_broker::audit::{Audit, Audited, Error, Trust};
use netpay_broker::keys::operator_id;
use netpay_ledger::command::{Action, Command, DebtKey, Facts, OpenAccount, Request, Rotation};
use netpay_ledger::event::{Event, SettledClaim};
use netpay_ledger::memory::{Memory, Outcome};
use netpay_ledger::record::{Record, hash};
use netpay_ledger::verify;
use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::chain::{ChainMaster, PaywordChain};
use netpay_protocol::ids::{BrokerId, Digest, EcoinId, Kid, PeerId, RequestId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::key_list::{BrokerKeys, KeyList, ListedKey, Purpose, SignedKeyList};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout, Signed};
use netpay_protocol::limits::{DAY_MS, HOUR_MS};
use netpay_protocol::payout::{PayoutKey, RequestPayout};
use netpay_protocol::redemption::{Claim, Head, RedemptionBatch, Statement};
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;

pub const START_MS: u64 = 1_000 * DAY_MS;
pub const REDEEM_UNTIL_MS: u64 = START_MS + 60 * DAY_MS;

pub fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(&Digest::sha256(name.as_bytes()).0)
}

pub fn peer(name: &str) -> PeerId {
    PeerId::of(&key(name).public())
}

pub fn ecoin(name: &str) -> EcoinId {
    EcoinId(*Digest::sha256(name.as_bytes()).0.first_chunk().expect("32 bytes"))
}

pub fn broker() -> BrokerId {
    BrokerId::of(&key("root").public())
}

/// A list with a key for each purpose, and the touchstone keys of former times.
pub fn key_list(revoked_at_ms: u64) -> SignedKeyList {
    SignedKeyList { root: key("root").public(), list: Signed::new(list(revoked_at_ms), &key("root")) }
}

/// The next list: with another touchstone key.
pub fn next_list() -> SignedKeyList {
    let mut list = list(0);
    list.seq += 1;
    let key_2 = key("touchstone 2").public();
    list.keys.push(ListedKey { kid: Kid::of(&key_2), key: key_2, ..list.keys[0] });
    SignedKeyList { root: key("root").public(), list: Signed::new(list, &key("root")) }
}

fn list(revoked_at_ms: u64) -> KeyList {
    let listed = |name: &str, purpose, not_after_ms, revoked_at_ms| {
        let key = key(name).public();
        ListedKey { kid: Kid::of(&key), key, purpose, not_before_ms: START_MS, not_after_ms, revoked_at_ms }
    };
    KeyList {
        broker: broker(),
        incarnation: 1,
        seq: 1,
        issued_at_ms: START_MS,
        next_at_ms: START_MS + DAY_MS,
        keys: vec![
            listed("touchstone", Purpose::Touchstone, u64::MAX, revoked_at_ms),
            listed("statement", Purpose::Statement, u64::MAX, 0),
            listed("retired", Purpose::Touchstone, START_MS, 0),
        ],
    }
}

/// The list after the statement key was lost.
pub fn with_revoked_statement_key() -> BrokerKeys {
    let mut list = list(0);
    list.keys[1].revoked_at_ms = START_MS + DAY_MS;
    let signed = SignedKeyList { root: key("root").public(), list: Signed::new(list, &key("root")) };
    signed.verify(broker()).expect("signed by the root")
}

pub fn keys(revoked_at_ms: u64) -> BrokerKeys {
    key_list(revoked_at_ms).verify(broker()).expect("signed by the root")
}

pub fn trust() -> Trust {
    Trust { broker: broker(), keys: keys(0), operators: vec![key("operator").public(), key("another").public()] }
}

/// A log, as bytes by position.
pub type Log = Vec<Vec<u8>>;

pub fn audit(log: &[Vec<u8>]) -> Result<Audited, Error> {
    audit_with(log, |_| {})
}

pub fn audit_with(log: &[Vec<u8>], prepare: impl FnOnce(&mut Audit)) -> Result<Audited, Error> {
    audit_under(trust(), log, prepare)
}

pub fn audit_under(trust: Trust, log: &[Vec<u8>], prepare: impl FnOnce(&mut Audit)) -> Result<Audited, Error> {
    let scratch = tempfile::tempdir().expect("a directory");
    let mut audit = Audit::begin(trust, scratch.path())?;
    prepare(&mut audit);
    assert_eq!(files_in(scratch.path()), 0, "the scratch file has no name while it is used");
    for (position, bytes) in (1..).zip(log) {
        audit.record(position, bytes)?;
    }
    audit.finish()
}

pub fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).expect("a folder").count()
}

/// The first difference of a log that is not honest.
pub fn difference(log: &[Vec<u8>]) -> (u64, String) {
    match audit(log) {
        Err(Error::Differs(difference)) => (difference.position, difference.what),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("nothing was found"),
    }
}

pub fn read(log: &[Vec<u8>], position: usize) -> Record {
    minicbor::decode(&log[position - 1]).expect("a record")
}

/// The log with one record changed, and all after it chained anew.
pub fn lie(log: &[Vec<u8>], position: usize, change: impl FnOnce(&mut Record)) -> Log {
    let mut changed = log[..position - 1].to_vec();
    let mut record = read(log, position);
    change(&mut record);
    changed.push(record.to_bytes());
    for at in position + 1..=log.len() {
        let prev_hash = hash(changed.last().expect("not empty"));
        changed.push(Record { prev_hash, ..read(log, at) }.to_bytes());
    }
    changed
}

pub struct World {
    pub ledger: Memory,
    pub now_ms: u64,
    next: u64,
    coins: BTreeMap<&'static str, Coin>,
    /// Under which key name a peer speaks that rotated.
    rotated: BTreeMap<String, String>,
    touchstone_key: &'static str,
}

struct Coin {
    touchstone: Signed<Touchstone>,
    chain: PaywordChain,
    payer: SigningKey,
}

impl World {
    pub fn new() -> Self {
        let (coins, rotated) = (BTreeMap::new(), BTreeMap::new());
        Self { ledger: Memory::default(), now_ms: START_MS, next: 0, coins, rotated, touchstone_key: "touchstone" }
    }

    pub fn facts(&self) -> Facts {
        let incarnation = self.ledger.scan().totals.incarnation();
        Facts { now_ms: self.now_ms, incarnation, drained_to_ms: self.now_ms, clock_trusted: true }
    }

    pub fn log(&self) -> Log {
        self.ledger.records().to_vec()
    }

    pub fn head(&self) -> Head {
        let records = self.ledger.records();
        let position = u64::try_from(records.len()).expect("few");
        Head { position, hash: records.last().map_or(Digest::ZERO, |bytes| hash(bytes)) }
    }

    fn fresh(&mut self) -> RequestId {
        self.next += 1;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&self.next.to_be_bytes());
        RequestId(id)
    }

    fn execute(&mut self, request: Option<Request>, action: Action) {
        self.now_ms += 1;
        let outcome = self.ledger.execute(&self.facts(), Command { request, action });
        assert!(matches!(outcome, Ok(Outcome::Recorded(_))), "an honest command: {outcome:?}");
    }

    /// The key that a peer speaks with.
    pub fn key_of(&self, name: &str) -> SigningKey {
        key(self.rotated.get(name).map_or(name, String::as_str))
    }

    pub fn opening(&self, name: &str) -> OpenAccount {
        OpenAccount::check(registration(name), broker(), self.now_ms).expect("a good registration")
    }

    pub fn admin(&mut self, order: &Order) -> Signed<Admin> {
        let admin = Admin {
            broker: broker(),
            kid: Kid::of(&key("operator").public()),
            request: self.fresh(),
            valid_until_ms: self.now_ms + HOUR_MS,
            order: wire::encode(order),
        };
        Signed::new(admin, &key("operator"))
    }

    pub fn operator(&mut self, order: &Order) {
        let signed = Box::new(self.admin(order));
        let request = request_of(&signed);
        let action = match order.clone() {
            Order::Credit { peer, amount, reference } => Action::CreditFunds { order: signed, peer, amount, reference },
            Order::Suspend { peer, .. } => Action::SuspendAccount { order: signed, peer },
            Order::Reinstate { peer, .. } => Action::ReinstateAccount { order: signed, peer },
            Order::SettleDebt { debtor, creditor, ecoin } => {
                Action::SettleDebt { order: signed, debt: DebtKey { debtor, creditor, ecoin } }
            }
            Order::SettlePayout { payout, reference } => Action::SettlePayout { order: signed, payout, reference },
            Order::FailPayout { payout, reason } => Action::FailPayout { order: signed, payout, reason },
            Order::Reconcile { .. } => Action::Reconcile { order: signed },
            Order::ConfirmClock { .. } => Action::ConfirmClock { order: signed },
            other => panic!("{other:?} is no command"),
        };
        self.execute(Some(request), action);
    }

    pub fn credit(&mut self, name: &str, amount: u64) {
        let reference = format!("deposit {}", self.next);
        self.operator(&Order::Credit { peer: peer(name), amount: Units(amount), reference });
    }

    pub fn buy(&mut self, name: &'static str, coins: &[&'static str], n: u32, unit_value: u32) {
        let count = u32::try_from(coins.len()).expect("few");
        let order = BuyEcoins {
            broker: broker(),
            payer: peer(name),
            request: self.fresh(),
            valid_until_ms: self.now_ms + DAY_MS,
            count,
            n: PaywordIndex(n),
            suite: Suite::Sha256,
            unit_value: UnitValue(unit_value),
            most_debited_units: Units(u64::from(count * n * unit_value)),
            guarantee: Guarantee::Bearer,
        };
        let opening = self.opening(name);
        let touchstones = coins.iter().map(|coin| self.make(name, coin, &order)).collect();
        let request = Request { signer: peer(name), id: order.request, digest: order.digest() };
        let order = Box::new(Signed::new(order, &self.key_of(name)));
        let (signed_by, epoch, opening) = (self.key_of(name).public(), 1, Some(opening));
        self.execute(Some(request), Action::BuyEcoins { opening, order, signed_by, touchstones, epoch });
    }

    fn make(&mut self, name: &'static str, coin: &'static str, buy: &BuyEcoins) -> Signed<Touchstone> {
        let last = ChainMaster::new([9; 32]).last_word(buy.suite, &ecoin(coin), buy.n);
        let chain = PaywordChain::below(buy.suite, &ecoin(coin), buy.n, last);
        let touchstone = Touchstone {
            broker: broker(),
            kid: Kid::of(&key(self.touchstone_key).public()),
            ecoin: ecoin(coin),
            suite: buy.suite,
            root: chain.root(),
            n: buy.n,
            unit_value: buy.unit_value,
            payer: buy.payer,
            payer_key: self.key_of(name).public(),
            payer_opened_at_ms: self.opened_at(name),
            issued_at_ms: self.now_ms,
            spend_until_ms: START_MS + 30 * DAY_MS,
            redeem_until_ms: REDEEM_UNTIL_MS,
            guarantee: buy.guarantee,
            incarnation: self.facts().incarnation,
        };
        let touchstone = Signed::new(touchstone, &key(self.touchstone_key));
        self.coins.insert(coin, Coin { touchstone: touchstone.clone(), chain, payer: self.key_of(name) });
        touchstone
    }

    fn opened_at(&self, name: &str) -> u64 {
        let row: Option<netpay_ledger::rows::AccountRow> =
            netpay_ledger::load::row(&self.ledger, &peer(name)).expect("readable");
        row.and_then(|row| row.opened).map_or(self.now_ms, |opened| opened.at_ms)
    }

    /// A claim of `from..=through` under the grant `from..to`.
    pub fn claim(&self, coin: &str, (from, to, through): (u32, u32, u32), payee: &str) -> Claim {
        let Coin { touchstone, chain, payer } = &self.coins[coin];
        let index = SignedIndex {
            broker: broker(),
            ecoin: touchstone.content.ecoin,
            from: PaywordIndex(from),
            to: PaywordIndex(to),
            payee: peer(payee),
            order: Digest::ZERO,
        };
        let word = chain.word(PaywordIndex(through)).expect("a word of the chain");
        Claim { index: Signed::new(index, payer), through: PaywordIndex(through), word }
    }

    /// Redeems claims in one fresh batch, and returns the batch.
    pub fn redeem(&mut self, payee: &str, claims: Vec<Claim>) -> RedemptionBatch {
        let (request, seen) = (self.fresh(), Head::default());
        let batch = RedemptionBatch { broker: broker(), payee: peer(payee), request, seen, claims };
        let check = |claim: &Claim| {
            let known = self.coins.values().find(|coin| coin.touchstone.content.ecoin == claim.ecoin());
            verify::check(claim.clone(), batch.payee, known.map(|coin| &coin.touchstone.content))
        };
        let action = Action::RedeemBatch {
            opening: Some(self.opening(payee)),
            payee: batch.payee,
            signed_by: self.key_of(payee).public(),
            claims: batch.claims.iter().map(check).collect(),
        };
        self.execute(Some(Request { signer: batch.payee, id: request, digest: batch.digest() }), action);
        batch
    }

    pub fn payout(&mut self, name: &str, amount: u64) -> PayoutKey {
        let order = RequestPayout {
            broker: broker(),
            peer: peer(name),
            request: self.fresh(),
            valid_until_ms: self.now_ms + HOUR_MS,
            amount_units: Units(amount),
            destination: format!("{name}'s bank"),
        };
        let (payout, request) =
            (order.key(), Request { signer: order.peer, id: order.request, digest: order.digest() });
        let action = Action::RequestPayout {
            opening: Some(self.opening(name)),
            order: Box::new(Signed::new(order, &self.key_of(name))),
            signed_by: self.key_of(name).public(),
        };
        self.execute(Some(request), action);
        payout
    }

    /// The time of these e-coins is over.
    pub fn expire(&mut self, coins: &[&str]) {
        self.execute(None, Action::ExpireEcoins { ecoins: coins.iter().map(|coin| ecoin(coin)).collect() });
    }

    /// A backup takes the place of the ledger.
    pub fn restore(&mut self, backup: Memory) {
        let totals = backup.scan().totals;
        self.ledger = backup;
        self.now_ms += 1;
        let (incarnation, head, head_at_ms) = (totals.incarnation() + 1, totals.head, totals.recorded_at_ms);
        let facts = Facts { incarnation, ..self.facts() };
        let event = Event::LedgerRestored { incarnation, head, head_at_ms };
        self.ledger.replay(&Record::following(head, &facts, None, vec![event]));
    }

    /// A payee shows the touchstone of an e-coin that the backup does not know.
    pub fn bring(&mut self, coin: &str) {
        let touchstone = self.coins[coin].touchstone.clone();
        self.execute(None, Action::RestoreEcoins { ecoins: vec![(touchstone, 1)] });
    }

    /// A peer's order to speak with another key from now on.
    pub fn rotation(&mut self, name: &str, to: &str) -> (Signed<RotateKeys>, Signed<Register>) {
        let content = Register { signing_key: key(to).public(), ..registration(name).content };
        let register = Signed::new(content, &key(to));
        let order = RotateKeys {
            broker: broker(),
            peer: peer(name),
            request: self.fresh(),
            valid_until_ms: self.now_ms + HOUR_MS,
            register: register.content.digest(),
        };
        (Signed::new(order, &self.key_of(name)), register)
    }

    pub fn rotate(&mut self, name: &str, to: &str) {
        let (order, register) = self.rotation(name, to);
        let request = Request { signer: peer(name), id: order.content.request, digest: order.content.digest() };
        let rotation = Rotation::check(order, register, self.key_of(name).public()).expect("good keys");
        self.execute(Some(request), Action::RotatePeerKeys(Box::new(rotation)));
        self.rotated.insert(name.into(), to.into());
    }

    /// The broker signs touchstones with another key from now on.
    pub fn rotate_broker(&mut self) {
        self.execute(None, Action::RotateBrokerKeys { list: Box::new(next_list()) });
        self.touchstone_key = "touchstone 2";
    }

    pub fn doubt_clock(&mut self) {
        self.execute(None, Action::DoubtClock);
    }

    pub fn balance(&self, name: &str) -> Units {
        let row: Option<netpay_ledger::rows::AccountRow> =
            netpay_ledger::load::row(&self.ledger, &peer(name)).expect("readable");
        row.map_or(Units::ZERO, |row| row.balance)
    }

    /// The broker's statement on a batch, as things stand.
    pub fn statement(&self, payee: &str, batch: &RedemptionBatch) -> Statement {
        let recorded = self.ledger.records().iter().map(|bytes| minicbor::decode::<Record>(bytes).expect("a record"));
        let outcome = recorded.into_iter().find(|r| r.request.is_some_and(|request| request.id == batch.request));
        let lines = outcome.into_iter().flat_map(|record| record.events).find_map(|event| match event {
            Event::BatchRedeemed { claims, .. } => Some(claims.iter().map(|claim| claim.line()).collect()),
            _ => None,
        });
        Statement {
            broker: broker(),
            kid: Kid::of(&key("statement").public()),
            incarnation: 1,
            payee: peer(payee),
            request: batch.request,
            batch: batch.digest(),
            issued_at_ms: self.now_ms,
            lines: lines.unwrap_or_default(),
            balance_units: self.balance(payee),
            head: self.head(),
        }
    }
}

pub fn request_of(admin: &Signed<Admin>) -> Request {
    let signer = operator_id(&key("operator").public());
    Request { signer, id: admin.content.request, digest: admin.content.digest() }
}

pub fn registration(name: &str) -> Signed<Register> {
    let register = Register {
        broker: broker(),
        signing_key: key(name).public(),
        // Any RSA key does: nothing is sealed here.
        sealing_key: include_bytes!("../../ledger/tests/world/rsa-2048.spki.der").to_vec(),
        nkey: key(&format!("{name}'s nkey")).public(),
    };
    Signed::new(register, &key(name))
}

/// The settled claim of a recorded batch.
pub fn settled(record: &mut Record, claim: usize) -> &mut SettledClaim {
    let batch = record.events.iter_mut().find_map(|event| match event {
        Event::BatchRedeemed { claims, .. } => Some(claims),
        _ => None,
    });
    match &mut batch.expect("a batch")[claim] {
        netpay_ledger::event::RedeemedClaim::Settled(claim) => claim,
        refused => panic!("{refused:?}"),
    }
}

/// The positions of the story's records.
pub mod at {
    pub const DEPOSIT: usize = 1;
    pub const PURCHASE: usize = 2;
    pub const BOBS_BATCH: usize = 3;
    pub const CAROLS_BATCH: usize = 4;
    pub const SUSPENSION: usize = 5;
    pub const REINSTATEMENT: usize = 6;
    pub const PAYOUT: usize = 7;
    pub const PAYOUT_SETTLED: usize = 8;
    pub const PAYOUT_FAILED: usize = 10;
    pub const SECOND_PURCHASE: usize = 12;
    pub const EXPIRY: usize = 13;
    pub const DEBT: usize = 14;
}

/// Alice buys, bob and carol redeem (and find a double spend), bob is suspended, reinstated and paid out, dave buys, the
/// rest is refunded, and alice's debt is settled.
pub fn story() -> World {
    let mut world = World::new();
    world.credit("alice", 100);
    world.buy("alice", &["A", "B"], 10, 3);
    let claims = vec![world.claim("A", (1, 7, 3), "bob"), world.claim("A", (1, 7, 6), "bob")];
    world.redeem("bob", claims);
    let claims = vec![world.claim("A", (5, 10, 9), "carol"), world.claim("B", (1, 3, 2), "carol")];
    world.redeem("carol", claims);
    world.operator(&Order::Suspend { peer: peer("bob"), reason: "to see".into() });
    world.operator(&Order::Reinstate { peer: peer("bob"), reason: "seen".into() });
    let payout = world.payout("bob", 5);
    world.operator(&Order::SettlePayout { payout, reference: "transfer 1".into() });
    let payout = world.payout("bob", 4);
    world.operator(&Order::FailPayout { payout, reason: "account closed".into() });
    world.credit("dave", 8);
    world.buy("dave", &["D"], 8, 1);
    world.now_ms = REDEEM_UNTIL_MS + DAY_MS - 1;
    world.expire(&["A", "B", "D"]);
    world.operator(&Order::SettleDebt { debtor: peer("alice"), creditor: peer("carol"), ecoin: ecoin("A") });
    world
}

/// That this lie about the story is found in its own record, and what is said of it.
pub fn found(position: usize, change: impl FnOnce(&mut Record), said: &str) {
    found_in(&story().log(), position, change, said);
}

/// As [`found`], about another log.
pub fn found_in(log: &[Vec<u8>], position: usize, change: impl FnOnce(&mut Record), said: &str) {
    let (at, what) = difference(&lie(log, position, change));
    assert!(what.contains(said), "expected {said:?}, got {what:?}");
    assert_eq!(Ok(at), u64::try_from(position), "{what}");
}

impl World {
    /// An operator's order of a deposit that was not recorded.
    pub fn admin_with_reference(&self, name: &str, amount: u64, reference: &str) -> Signed<Admin> {
        let order = Order::Credit { peer: peer(name), amount: Units(amount), reference: reference.into() };
        let content = Admin {
            broker: broker(),
            kid: Kid::of(&key("operator").public()),
            request: RequestId([0xab; 16]),
            valid_until_ms: START_MS + HOUR_MS,
            order: wire::encode(&order),
        };
        Signed::new(content, &key("operator"))
    }
}

/// The positions of the records of [`two_lives`].
pub mod life {
    pub const RESTORED: usize = 2;
    pub const BROUGHT: usize = 4;
    pub const DEPOSIT: usize = 6;
    pub const RECONCILED: usize = 7;
    pub const DOUBTED: usize = 9;
    pub const CONFIRMED: usize = 10;
    pub const ROTATED: usize = 11;
    pub const KEYS: usize = 12;
    pub const PAYOUT: usize = 13;
}

/// A purchase is lost with what came after a backup, and its e-coin comes back; then keys are rotated.
pub fn two_lives() -> World {
    let mut world = World::new();
    world.credit("alice", 10);
    let backup = world.ledger.clone();
    world.buy("alice", &["A"], 10, 1);
    world.restore(backup);
    world.buy("alice", &["B"], 7, 1);
    world.bring("A");
    let claims = vec![world.claim("A", (1, 5, 4), "bob")];
    world.redeem("bob", claims);
    world.credit("alice", 30);
    world.operator(&Order::Reconcile { reason: "gone through".into() });
    world.operator(&Order::SettleDebt { debtor: peer("alice"), creditor: PeerId::OPERATOR, ecoin: ecoin("A") });
    world.doubt_clock();
    world.operator(&Order::ConfirmClock { reason: "looked at".into() });
    world.rotate("alice", "alice 2");
    world.rotate_broker();
    world.payout("alice", 5);
    world.buy("alice", &["C"], 3, 1);
    world
}
