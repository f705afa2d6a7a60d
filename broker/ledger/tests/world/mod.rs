//! A small world for ledger tests: named peers and e-coins with real keys, chains and signatures, on a ledger in memory.
//! After every command the whole ledger is scanned, and replayed from its records, and both must agree.

#![allow(dead_code)] // each test binary uses its part

use std::collections::BTreeMap;

use netpay_ledger::command::{DebtKey, OpenAccount, Request};
use netpay_ledger::event::{Event, RedeemedClaim};
use netpay_ledger::load;
use netpay_ledger::memory::{Memory, Outcome};
use netpay_ledger::record::Record;
use netpay_ledger::rows::EcoinRow;
use netpay_ledger::verify;
use netpay_ledger::{Action, Command, Facts, Rejection};
use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::chain::{ChainMaster, PaywordChain};
use netpay_protocol::ids::{BrokerId, Digest, EcoinId, Kid, PeerId, RequestId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout, Signed};
use netpay_protocol::limits::DAY_MS;
use netpay_protocol::payout::{PayoutKey, RequestPayout};
use netpay_protocol::redemption::{Claim, Head, Line, RedemptionBatch};
use netpay_protocol::register::Register;
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;

pub const BROKER: BrokerId = BrokerId([1; 16]);
pub const START_MS: u64 = 1_000_000;
pub const REDEEM_UNTIL_MS: u64 = START_MS + 60 * DAY_MS;

pub struct World {
    pub ledger: Memory,
    pub now_ms: u64,
    pub clock_trusted: bool,
    next: u64,
    coins: BTreeMap<&'static str, Coin>,
    broker: SigningKey,
    rsa_der: Vec<u8>,
}

#[derive(Clone)]
pub struct Coin {
    pub touchstone: Signed<Touchstone>,
    pub chain: PaywordChain,
    pub payer: &'static str,
}

/// How a purchase may deviate from the plain one.
#[derive(Clone, Copy)]
pub struct Terms {
    pub suite: Suite,
    pub unit_value: u32,
    pub guarantee: Guarantee,
}

impl Default for Terms {
    fn default() -> Self {
        Self { suite: Suite::Sha256, unit_value: 1, guarantee: Guarantee::Bearer }
    }
}

pub fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(&Digest::sha256(name.as_bytes()).0)
}

pub fn peer(name: &str) -> PeerId {
    PeerId::of(&key(name).public())
}

impl World {
    pub fn new() -> Self {
        // Any RSA key does: nothing is sealed here.
        let rsa = include_bytes!("rsa-2048.spki.der").to_vec();
        Self {
            ledger: Memory::default(),
            now_ms: START_MS,
            clock_trusted: true,
            next: 0,
            coins: BTreeMap::new(),
            broker: key("broker"),
            rsa_der: rsa,
        }
    }

    pub fn facts(&self) -> Facts {
        Facts {
            now_ms: self.now_ms,
            incarnation: load::totals(&self.ledger).expect("readable").incarnation(),
            drained_to_ms: self.now_ms,
            clock_trusted: self.clock_trusted,
        }
    }

    pub fn fresh(&mut self) -> RequestId {
        self.next += 1;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&self.next.to_be_bytes());
        RequestId(id)
    }

    pub fn opening(&self, name: &str) -> OpenAccount {
        let register = Register {
            broker: BROKER,
            signing_key: key(name).public(),
            sealing_key: self.rsa_der.clone(),
            nkey: key(&format!("{name}'s nkey")).public(),
        };
        OpenAccount::check(Signed::new(register, &key(name)), BROKER, START_MS).expect("a good registration")
    }

    /// Executes, and holds every invariant against what is there afterwards.
    pub fn execute(&mut self, command: Command) -> Result<Outcome, Rejection> {
        let (before, by_itself) = (self.ledger.records().len(), command.request.is_none());
        let outcome = self.ledger.execute(&self.facts(), command.clone());
        let findings = self.ledger.scan();
        assert_eq!(findings.broken, Vec::<String>::new());
        assert_eq!((findings.imbalance, findings.escrow_gap), (0, 0));
        let recorded = matches!(outcome, Ok(Outcome::Recorded(_)));
        assert_eq!(self.ledger.records().len(), before + usize::from(recorded), "only an outcome is recorded");
        if recorded {
            // L6: one outcome. L7: replaying gives the same state.
            let again = self.ledger.execute(&self.facts(), command);
            if by_itself {
                assert!(!matches!(again, Ok(Outcome::Recorded(_))), "{again:?}");
            } else {
                assert!(matches!(again, Ok(Outcome::Repeated(_))), "{again:?}");
            }
            assert_eq!(self.replayed().scan(), findings);
        }
        outcome
    }

    pub fn replayed(&self) -> Memory {
        let mut copy = Memory::default();
        let mut head = Head::default();
        for bytes in self.ledger.records() {
            let (record, next) = Record::read(bytes, head).expect("a chained log");
            copy.replay(&record);
            head = next;
        }
        copy
    }

    pub fn admin(&mut self, order: &Order) -> Box<Signed<Admin>> {
        let admin = Admin {
            broker: BROKER,
            kid: Kid::of(&key("operator").public()),
            request: self.fresh(),
            valid_until_ms: self.now_ms + 60_000,
            order: wire::encode(order),
        };
        Box::new(Signed::new(admin, &key("operator")))
    }

    pub fn operator(&mut self, order: &Order) -> Command {
        let signed = self.admin(order);
        let request = Request { signer: peer("operator"), id: signed.content.request, digest: signed.content.digest() };
        let action = match order.clone() {
            Order::Credit { peer, amount, reference } => Action::CreditFunds { order: signed, peer, amount, reference },
            Order::Suspend { peer, .. } => Action::SuspendAccount { order: signed, peer },
            Order::Reinstate { peer, .. } => Action::ReinstateAccount { order: signed, peer },
            Order::SettleDebt { debtor, creditor, ecoin } => {
                Action::SettleDebt { order: signed, debt: DebtKey { debtor, creditor, ecoin } }
            }
            Order::SettlePayout { payout, reference } => Action::SettlePayout { order: signed, payout, reference },
            Order::Reconcile { .. } => Action::Reconcile { order: signed },
            Order::ConfirmClock { .. } => Action::ConfirmClock { order: signed },
            Order::FailPayout { payout, reason } => Action::FailPayout { order: signed, payout, reason },
            other => panic!("{other:?} is no command"),
        };
        Command { request: Some(request), action }
    }

    pub fn credit(&mut self, name: &str, amount: u64) {
        let reference = format!("deposit {}", self.next);
        let order = Order::Credit { peer: peer(name), amount: Units(amount), reference };
        let command = self.operator(&order);
        self.execute(command).expect("a good deposit");
    }

    pub fn purchase(&mut self, name: &'static str, coins: &[&'static str], n: u32, terms: Terms) -> Command {
        let most = u64::from(n) * u64::from(terms.unit_value) * u64::try_from(coins.len()).expect("few");
        let order = BuyEcoins {
            broker: BROKER,
            payer: peer(name),
            request: self.fresh(),
            valid_until_ms: self.now_ms + DAY_MS,
            count: u32::try_from(coins.len()).expect("few"),
            n: PaywordIndex(n),
            suite: terms.suite,
            unit_value: UnitValue(terms.unit_value),
            most_debited_units: Units(most),
            guarantee: terms.guarantee,
        };
        let touchstones = coins.iter().map(|coin| self.make(name, coin, n, terms)).collect();
        Command {
            request: Some(Request { signer: peer(name), id: order.request, digest: order.digest() }),
            action: Action::BuyEcoins {
                opening: Some(self.opening(name)),
                order: Box::new(Signed::new(order, &key(name))),
                signed_by: key(name).public(),
                touchstones,
                epoch: 1,
            },
        }
    }

    pub fn payout(&mut self, name: &str, amount: u64) -> Command {
        let order = RequestPayout {
            broker: BROKER,
            peer: peer(name),
            request: self.fresh(),
            valid_until_ms: self.now_ms + DAY_MS,
            amount_units: Units(amount),
            destination: format!("{name}'s bank"),
        };
        self.payout_of(name, order)
    }

    pub fn payout_of(&self, name: &str, order: RequestPayout) -> Command {
        Command {
            request: Some(Request { signer: order.peer, id: order.request, digest: order.digest() }),
            action: Action::RequestPayout {
                opening: Some(self.opening(name)),
                order: Box::new(Signed::new(order, &key(name))),
                signed_by: key(name).public(),
            },
        }
    }

    /// The operator's word on a payout: paid with this reference.
    pub fn settle(&mut self, payout: PayoutKey, reference: &str) -> Command {
        self.operator(&Order::SettlePayout { payout, reference: reference.into() })
    }

    /// The operator's word on a payout: not paid, for this reason.
    pub fn fail(&mut self, payout: PayoutKey, reason: &str) -> Command {
        self.operator(&Order::FailPayout { payout, reason: reason.into() })
    }

    pub fn make(&mut self, name: &'static str, coin: &'static str, n: u32, terms: Terms) -> Signed<Touchstone> {
        let ecoin = ecoin(coin);
        let last = ChainMaster::new([9; 32]).last_word(terms.suite, &ecoin, PaywordIndex(n));
        let chain = PaywordChain::below(terms.suite, &ecoin, PaywordIndex(n), last);
        let touchstone = Touchstone {
            broker: BROKER,
            kid: Kid::of(&self.broker.public()),
            ecoin,
            suite: terms.suite,
            root: chain.root(),
            n: PaywordIndex(n),
            unit_value: UnitValue(terms.unit_value),
            payer: peer(name),
            payer_key: key(name).public(),
            payer_opened_at_ms: START_MS,
            issued_at_ms: self.now_ms,
            spend_until_ms: self.now_ms + 30 * DAY_MS,
            redeem_until_ms: self.now_ms + 60 * DAY_MS,
            guarantee: terms.guarantee,
            incarnation: self.facts().incarnation,
        };
        let touchstone = Signed::new(touchstone, &self.broker);
        self.coins.insert(coin, Coin { touchstone: touchstone.clone(), chain, payer: name });
        touchstone
    }

    /// Credits and buys: the peer holds the e-coin, and has nothing left.
    pub fn bought(&mut self, name: &'static str, coin: &'static str, n: u32) {
        self.credit(name, u64::from(n));
        let command = self.purchase(name, &[coin], n, Terms::default());
        self.execute(command).expect("a good purchase");
    }

    pub fn coin(&self, coin: &str) -> &Coin {
        &self.coins[coin]
    }

    /// A claim of `from..=through` under the grant `from..to`.
    pub fn claim(&self, coin: &str, (from, to, through): (u32, u32, u32), payee: &str) -> Claim {
        let Coin { touchstone, chain, payer } = self.coin(coin);
        let index = SignedIndex {
            broker: BROKER,
            ecoin: touchstone.content.ecoin,
            from: PaywordIndex(from),
            to: PaywordIndex(to),
            payee: peer(payee),
            order: Digest::ZERO,
        };
        let word = chain.word(PaywordIndex(through)).unwrap_or(Payword::unchecked([0xee; 32]));
        Claim { index: Signed::new(index, &key(payer)), through: PaywordIndex(through), word }
    }

    pub fn batch(&mut self, payee: &str, claims: Vec<Claim>) -> RedemptionBatch {
        RedemptionBatch { broker: BROKER, payee: peer(payee), request: self.fresh(), seen: Head::default(), claims }
    }

    pub fn redemption(&self, payee: &str, batch: &RedemptionBatch) -> Command {
        let check = |claim: &Claim| {
            let row: Option<EcoinRow> = load::row(&self.ledger, &claim.ecoin()).expect("readable");
            verify::check(claim.clone(), batch.payee, row.as_ref().map(|row| &row.touchstone.content))
        };
        Command {
            request: Some(Request { signer: batch.payee, id: batch.request, digest: batch.digest() }),
            action: Action::RedeemBatch {
                opening: Some(self.opening(payee)),
                payee: batch.payee,
                signed_by: key(payee).public(),
                claims: batch.claims.iter().map(check).collect(),
            },
        }
    }

    /// Redeems claims in one fresh batch, and returns the lines.
    pub fn redeem(&mut self, payee: &str, claims: Vec<Claim>) -> Vec<Line> {
        let batch = self.batch(payee, claims);
        let command = self.redemption(payee, &batch);
        lines(self.execute(command).expect("a batch is not rejected"))
    }

    pub fn balance(&self, name: &str) -> u64 {
        let row: Option<netpay_ledger::rows::AccountRow> = load::row(&self.ledger, &peer(name)).expect("readable");
        row.map_or(0, |row| row.balance.0)
    }

    pub fn events(&self) -> Vec<Event> {
        let mut head = Head::default();
        let read = |bytes: &Vec<u8>| {
            let (record, next) = Record::read(bytes, head).expect("a chained log");
            head = next;
            record.events
        };
        self.ledger.records().iter().flat_map(read).collect()
    }
}

pub fn ecoin(name: &str) -> EcoinId {
    EcoinId(*Digest::sha256(name.as_bytes()).0.first_chunk().expect("32 bytes"))
}

pub fn lines(outcome: Outcome) -> Vec<Line> {
    match outcome {
        Outcome::Unchanged(lines) => lines,
        Outcome::Recorded(events) => events
            .iter()
            .find_map(|event| match event {
                Event::BatchRedeemed { claims, .. } => Some(claims.iter().map(RedeemedClaim::line).collect()),
                _ => None,
            })
            .expect("a batch's record has its lines"),
        Outcome::Repeated(position) => panic!("repeated at {position}"),
    }
}

/// (verdict, credited, already paid, conflicting)
pub fn show(lines: &[Line]) -> Vec<(&'static str, u32, u32, u32)> {
    lines.iter().map(|l| (l.verdict.name(), l.credited.0, l.already_paid.0, l.conflicting.0)).collect()
}

impl World {
    /// What the broker does by itself.
    pub fn by_itself(&mut self, action: Action) -> Result<Outcome, Rejection> {
        self.execute(Command { request: None, action })
    }

    /// Records an event that a tool writes while the broker is stopped.
    pub fn happen(&mut self, event: Event) {
        let head = self.ledger.scan().totals.head;
        let record = Record::following(head, &self.facts(), None, vec![event]);
        self.ledger.replay(&record);
        assert_eq!(self.ledger.scan().broken, Vec::<String>::new());
    }

    /// The e-coin's time is over: it is refunded, and the world's clock goes back to where it was.
    pub fn expire(&mut self, coin: &str) {
        let now_ms = std::mem::replace(&mut self.now_ms, REDEEM_UNTIL_MS + DAY_MS);
        let outcome = self.by_itself(Action::ExpireEcoins { ecoins: vec![ecoin(coin)] });
        assert!(matches!(outcome, Ok(Outcome::Recorded(_))), "{outcome:?}");
        self.now_ms = now_ms;
    }
}
