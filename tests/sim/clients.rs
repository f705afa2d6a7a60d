//! Whoever asks the broker: what they sign, what they were told, and what they hold because of it.
//!
//! A request is signed once and sent as often as it takes. What a node makes of it before its writer (touchstones, checked
//! claims) is made anew each time, by that node's state and clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use netpay_ledger::command::{OpenAccount, Request};
use netpay_ledger::event::Event;
use netpay_ledger::memory::Memory;
use netpay_ledger::record::Record;
use netpay_ledger::rows::EcoinRow;
use netpay_ledger::{Action, Command, load, verify};
use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::chain::{ChainMaster, PaywordChain};
use netpay_protocol::ids::{BrokerId, Digest, EcoinId, Kid, PeerId, RequestId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::{HOUR_MS, MIN_REDEEM_WINDOW_MS};
use netpay_protocol::payout::RequestPayout;
use netpay_protocol::problem::Kind;
use netpay_protocol::redemption::{Claim, Head, RedemptionBatch};
use netpay_protocol::register::Register;
use netpay_protocol::suite::Suite;
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;
use netpay_tests::campaign::Dice;

const BROKER: BrokerId = BrokerId([1; 16]);
/// When every model begins.
pub const START_MS: u64 = 1_700_000_000_000;
/// Peers. The first few buy, and the last of these cheats; all are paid.
const PEERS: usize = 6;
const PAYERS: usize = 4;
const CHEAT: usize = 3;

/// Keys, made once: they are slow.
struct Cast {
    peers: Vec<(SigningKey, OpenAccount)>,
    operator: SigningKey,
    broker: SigningKey,
}

fn cast() -> &'static Cast {
    static CAST: OnceLock<Cast> = OnceLock::new();
    CAST.get_or_init(|| {
        let key = |name: &str| SigningKey::from_seed(&Digest::sha256(name.as_bytes()).0);
        let peer = |number| {
            let signing = key(&format!("peer {number}"));
            // Any sealing key does: nothing is sealed here.
            let sealing_key = include_bytes!("../../broker/ledger/tests/world/rsa-2048.spki.der").to_vec();
            let nkey = key("nkey").public();
            let register = Register { broker: BROKER, signing_key: signing.public(), sealing_key, nkey };
            let opening = OpenAccount::check(Signed::new(register, &signing), BROKER, START_MS);
            (signing, opening.expect("a good registration"))
        };
        Cast { peers: (0..PEERS).map(peer).collect(), operator: key("operator"), broker: key("broker") }
    })
}

fn id(peer: usize) -> PeerId {
    cast().peers[peer].1.peer()
}

/// What is asked for.
pub enum What {
    /// By the operator; a deposit with its reference among them.
    Order(Box<Signed<Admin>>, Order),
    Buy(usize, Box<Signed<BuyEcoins>>),
    Redeem(usize, Box<RedemptionBatch>),
    Payout(usize, Box<Signed<RequestPayout>>),
}

/// What somebody was told last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    Recorded(u64),
    /// A deposit that another order made before, under the same reference. This order can still become too late.
    Known(u64),
    /// A batch with nothing to record.
    Unchanged,
    Refused(Kind),
    /// By one node's clock.
    TooLateHere,
}

/// One request.
pub struct Ask {
    pub request: Request,
    pub what: What,
    pub sent: u32,
    pub answers: u32,
    pub told: Option<Told>,
}

/// An e-coin as its payer holds it, with its next word that was granted to nobody.
struct Coin {
    payer: usize,
    ecoin: EcoinId,
    n: u32,
    next: u32,
}

/// See the module.
#[derive(Default)]
pub struct Clients {
    pub asks: Vec<Ask>,
    coins: Vec<Coin>,
    held: Vec<(usize, Claim)>,
    made: BTreeMap<EcoinId, PaywordChain>,
    drawn: u64,
}

impl Ask {
    /// The name under which it happens once, beside its id.
    pub fn reference(&self) -> Option<&str> {
        match &self.what {
            What::Order(_, Order::Credit { reference, .. }) => Some(reference),
            _ => None,
        }
    }

    /// Whether its time is over.
    pub fn is_too_late(&self, now_ms: u64) -> bool {
        match &self.what {
            What::Order(order, _) => now_ms > order.content.valid_until_ms,
            What::Buy(_, order) => now_ms > order.content.valid_until_ms,
            What::Payout(_, order) => now_ms > order.content.valid_until_ms,
            What::Redeem(..) => false,
        }
    }

    pub fn name(&self) -> &'static str {
        match &self.what {
            What::Order(_, Order::Credit { .. }) => "deposits",
            What::Order(_, Order::Suspend { .. }) => "suspensions",
            What::Order(_, Order::Reinstate { .. }) => "reinstatements",
            What::Order(..) => "confirmations of the clock",
            What::Buy(..) => "purchases",
            What::Redeem(..) => "batches",
            What::Payout(..) => "payouts",
        }
    }
}

impl Clients {
    fn sixteen(&mut self) -> [u8; 16] {
        self.drawn += 1;
        u128::from(self.drawn).to_be_bytes()
    }

    /// Somebody wants something new. Some of it is valid for a moment only.
    pub fn ask(&mut self, dice: &mut Dice, now_ms: u64) -> Option<usize> {
        let valid_until_ms = now_ms + if dice.below(4) == 0 { dice.between(100, 4_000) } else { HOUR_MS };
        let request = RequestId(self.sixteen());
        let (peer, payer) = (dice.place(PEERS), dice.place(PAYERS));
        let reason = || "why".to_owned();
        let (signer, digest, what) = match dice.below(20) {
            0..=3 => {
                let order = self.deposit(dice, peer);
                return Some(self.order(order, request, valid_until_ms));
            }
            4..=8 => {
                let order = BuyEcoins {
                    broker: BROKER,
                    payer: id(payer),
                    request,
                    valid_until_ms,
                    count: dice.small(1, 2),
                    n: PaywordIndex(dice.small(3, 9)),
                    suite: Suite::Sha256,
                    unit_value: UnitValue(1),
                    most_debited_units: Units(18),
                    guarantee: Guarantee::Bearer,
                };
                let signed = Box::new(Signed::new(order, &cast().peers[payer].0));
                (id(payer), signed.content.digest(), What::Buy(payer, signed))
            }
            9..=16 => {
                let batch = self.batch(dice, request)?;
                let payee = self.held.last()?.0;
                let payee = (0..PEERS).find(|peer| id(*peer) == batch.payee).unwrap_or(payee);
                (batch.payee, batch.digest(), What::Redeem(payee, Box::new(batch)))
            }
            17 => {
                let amount_units = Units(dice.between(1, 6));
                let destination = "bank".to_owned();
                let order = RequestPayout {
                    broker: BROKER,
                    peer: id(peer),
                    request,
                    valid_until_ms,
                    amount_units,
                    destination,
                };
                let signed = Box::new(Signed::new(order, &cast().peers[peer].0));
                (id(peer), signed.content.digest(), What::Payout(peer, signed))
            }
            18 => {
                let suspends = dice.below(3) == 0;
                let order = if suspends {
                    Order::Suspend { peer: id(payer), reason: reason() }
                } else {
                    Order::Reinstate { peer: id(payer), reason: reason() }
                };
                return Some(self.order(order, request, valid_until_ms));
            }
            _ => return Some(self.order(Order::ConfirmClock { reason: reason() }, request, valid_until_ms)),
        };
        Some(self.takes(Request { signer, id: request, digest }, what))
    }

    /// The operator orders a deposit that is valid until then.
    pub fn deposit_until(&mut self, valid_until_ms: u64) -> usize {
        let request = RequestId(self.sixteen());
        let order = Order::Credit { peer: id(0), amount: Units(1), reference: "deposit".into() };
        self.order(order, request, valid_until_ms)
    }

    fn takes(&mut self, request: Request, what: What) -> usize {
        self.asks.push(Ask { request, what, sent: 0, answers: 0, told: None });
        self.asks.len() - 1
    }

    fn order(&mut self, order: Order, request: RequestId, valid_until_ms: u64) -> usize {
        let operator = &cast().operator;
        let kid = Kid::of(&operator.public());
        let admin = Admin { broker: BROKER, kid, request, valid_until_ms, order: wire::encode(&order) };
        let signed = Box::new(Signed::new(admin, operator));
        let digest = signed.content.digest();
        self.takes(Request { signer: PeerId::of(&operator.public()), id: request, digest }, What::Order(signed, order))
    }

    /// Now and then one that was ordered before, under another request id.
    fn deposit(&self, dice: &mut Dice, peer: usize) -> Order {
        let old: Vec<_> = self.asks.iter().filter(|ask| ask.reference().is_some()).collect();
        if !old.is_empty() && dice.below(5) == 0 {
            let What::Order(_, order) = &dice.one(&old).what else { unreachable!("only orders have references") };
            return order.clone();
        }
        Order::Credit {
            peer: id(peer),
            amount: Units(dice.between(5, 40)),
            reference: format!("deposit {}", self.drawn),
        }
    }

    /// Somebody grants words, and somebody redeems some of the claims that it holds, old ones among them.
    fn batch(&mut self, dice: &mut Dice, request: RequestId) -> Option<RedemptionBatch> {
        for _ in 0..2 {
            self.grant(dice);
        }
        let lately = self.held.len().saturating_sub(if dice.below(4) == 0 { usize::MAX } else { 8 });
        let payee = dice.one(self.held.get(lately..).filter(|held| !held.is_empty())?).0;
        let theirs: Vec<_> = self.held[lately..].iter().filter(|held| held.0 == payee).collect();
        let claims = (0..dice.between(1, 3)).map(|_| dice.one(&theirs).1.clone()).collect();
        Some(RedemptionBatch { broker: BROKER, payee: id(payee), request, seen: Head::default(), claims })
    }

    fn grant(&mut self, dice: &mut Dice) {
        let open = |coin: &&mut Coin| coin.next <= coin.n || coin.payer == CHEAT;
        let mut open: Vec<_> = self.coins.iter_mut().filter(open).collect();
        if open.is_empty() {
            return;
        }
        let at = dice.place(open.len());
        let coin = &mut open[at];
        let again = coin.payer == CHEAT && (coin.next > coin.n || dice.below(3) == 0);
        let from = if again { dice.small(1, coin.n) } else { coin.next };
        let to = (from + dice.small(1, 4)).min(coin.n + 1);
        coin.next = coin.next.max(to);
        let payee = (coin.payer + 1 + dice.place(PEERS - 1)) % PEERS;
        let (from, through) = (PaywordIndex(from), PaywordIndex(dice.small(from, to - 1)));
        let index = SignedIndex {
            broker: BROKER,
            ecoin: coin.ecoin,
            from,
            to: PaywordIndex(to),
            payee: id(payee),
            order: Digest::ZERO,
        };
        let word = self.made[&coin.ecoin].word(through).expect("a word of it");
        let claim = Claim { index: Signed::new(index, &cast().peers[coin.payer].0), through, word };
        self.held.push((payee, claim));
    }

    /// What a node with this state and this clock makes of a request.
    pub fn command(&mut self, at: usize, state: &Memory, now_ms: u64) -> Command {
        let request = Some(self.asks[at].request);
        let opening = |peer: usize| Some(cast().peers[peer].1.clone());
        let action = match &self.asks[at].what {
            What::Order(order, Order::Credit { peer, amount, reference }) => {
                let (order, reference) = (order.clone(), reference.clone());
                Action::CreditFunds { order, peer: *peer, amount: *amount, reference }
            }
            What::Order(order, Order::Suspend { peer, .. }) => {
                Action::SuspendAccount { order: order.clone(), peer: *peer }
            }
            What::Order(order, Order::Reinstate { peer, .. }) => {
                Action::ReinstateAccount { order: order.clone(), peer: *peer }
            }
            What::Order(order, _) => Action::ConfirmClock { order: order.clone() },
            What::Payout(peer, order) => {
                let signed_by = cast().peers[*peer].0.public();
                Action::RequestPayout { opening: opening(*peer), order: order.clone(), signed_by }
            }
            What::Redeem(payee, batch) => {
                let check = |claim: &Claim| {
                    let row: Option<EcoinRow> = load::row(state, &claim.ecoin()).expect("readable");
                    verify::check(claim.clone(), batch.payee, row.as_ref().map(|row| &row.touchstone.content))
                };
                let claims = batch.claims.iter().map(check).collect();
                let signed_by = cast().peers[*payee].0.public();
                Action::RedeemBatch { opening: opening(*payee), payee: batch.payee, signed_by, claims }
            }
            What::Buy(payer, order) => {
                let (payer, order) = (*payer, order.clone());
                let touchstones = (0..order.content.count).map(|_| self.make(payer, &order.content, now_ms)).collect();
                let signed_by = cast().peers[payer].0.public();
                Action::BuyEcoins { opening: opening(payer), order, signed_by, touchstones, epoch: 1 }
            }
        };
        Command { request, action }
    }

    fn make(&mut self, payer: usize, order: &BuyEcoins, now_ms: u64) -> Signed<Touchstone> {
        let ecoin = EcoinId(self.sixteen());
        let last = ChainMaster::new([9; 32]).last_word(order.suite, &ecoin, order.n);
        let chain = PaywordChain::below(order.suite, &ecoin, order.n, last);
        let touchstone = Touchstone {
            broker: BROKER,
            kid: Kid::of(&cast().broker.public()),
            ecoin,
            suite: order.suite,
            root: chain.root(),
            n: order.n,
            unit_value: order.unit_value,
            payer: order.payer,
            payer_key: cast().peers[payer].0.public(),
            payer_opened_at_ms: START_MS,
            issued_at_ms: now_ms,
            spend_until_ms: now_ms + HOUR_MS,
            redeem_until_ms: now_ms + HOUR_MS + MIN_REDEEM_WINDOW_MS,
            guarantee: order.guarantee,
            incarnation: 1,
        };
        self.made.insert(ecoin, chain);
        Signed::new(touchstone, &cast().broker)
    }

    /// Somebody is told something definite; `record` if it is recorded. Says what contradicts what was told before.
    pub fn is_told(&mut self, at: usize, told: Told, record: Option<&Record>) -> Result<(), String> {
        self.asks[at].answers += 1;
        let before = self.asks[at].told.replace(told);
        match (before, told) {
            (Some(Told::Recorded(before)), _) if told != Told::Recorded(before) => {
                return Err(format!("{:?} was recorded at {before}, now it is told {told:?}", self.asks[at].request));
            }
            (Some(Told::Refused(Kind::RequestExpired)), Told::Recorded(position) | Told::Known(position)) => {
                return Err(format!("{:?} was too late, and is recorded at {position}", self.asks[at].request));
            }
            (Some(Told::Recorded(_)), _) => return Ok(()),
            _ => {}
        }
        let (What::Buy(payer, _), Some(record)) = (&self.asks[at].what, record) else { return Ok(()) };
        for touchstone in record.events.iter().flat_map(sold) {
            let t = &touchstone.content;
            self.coins.push(Coin { payer: *payer, ecoin: t.ecoin, n: t.n.0, next: 1 });
        }
        Ok(())
    }

    /// The e-coins that were bought, as far as their payers know.
    pub fn bought(&self) -> Vec<EcoinId> {
        self.coins.iter().map(|coin| coin.ecoin).collect()
    }

    /// What everybody has by what it was told; `record` gives the records that were named.
    pub fn expected<'a>(&self, record: impl Fn(u64) -> &'a Record) -> BTreeMap<PeerId, i128> {
        let (mut expected, mut references) = (BTreeMap::<_, i128>::new(), BTreeSet::new());
        for ask in &self.asks {
            let Some(Told::Recorded(position) | Told::Known(position)) = ask.told else { continue };
            let (peer, units) = match &ask.what {
                What::Order(_, Order::Credit { peer, amount, reference }) if references.insert(reference) => {
                    (*peer, i128::from(amount.0))
                }
                What::Order(..) => continue,
                What::Buy(_, order) => {
                    (order.content.payer, -i128::from(order.content.n.0) * i128::from(order.content.count))
                }
                What::Payout(_, order) => (order.content.peer, -i128::from(order.content.amount_units.0)),
                What::Redeem(_, batch) => (batch.payee, record(position).events.iter().map(credited).sum()),
            };
            *expected.entry(peer).or_default() += units;
        }
        expected
    }
}

fn sold(event: &Event) -> &[Signed<Touchstone>] {
    match event {
        Event::EcoinsIssued { touchstones, .. } => touchstones,
        _ => &[],
    }
}

fn credited(event: &Event) -> i128 {
    match event {
        Event::BatchRedeemed { claims, .. } => claims.iter().map(|claim| i128::from(claim.line().credited.0)).sum(),
        _ => 0,
    }
}
