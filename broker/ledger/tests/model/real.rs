//! The ledger as it is, asked in the reference's words: with real keys, chains, grants and signatures.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use netpay_ledger::command::{DebtKey, OpenAccount, Request as RealRequest, Rotation};
use netpay_ledger::event::{DoubleSpend, Event, RedeemedClaim};
use netpay_ledger::memory::{Memory, Outcome};
use netpay_ledger::record::Record;
use netpay_ledger::rows::{AccountRow, DebtRow, EcoinRow, PayoutRow, RunRow, Table};
use netpay_ledger::{Action, Command, Facts, Rejection, Rows as _, load, verify};
use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units};
use netpay_protocol::buy::BuyEcoins;
use netpay_protocol::chain::{ChainMaster, PaywordChain};
use netpay_protocol::ids::{Digest, EcoinId, Kid, PeerId, RequestId};
use netpay_protocol::index::SignedIndex;
use netpay_protocol::key_list::{KeyList, SignedKeyList};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::MIN_REDEEM_WINDOW_MS;
use netpay_protocol::payout::{PayoutKey, PayoutState, RequestPayout};
use netpay_protocol::redemption::{self, Head};
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::{Guarantee, Touchstone};
use netpay_protocol::wire;

use super::asks::*;
use super::view::View;
use super::world::{BROKER, START_MS, key};

/// Peers, from 1.
pub const PEERS: usize = 24;
/// Signing keys of each: one more than it may give up, and one that is never in use.
pub const KEYS: usize = 19;

/// Made once for all runs: keys are slow.
struct Keys {
    /// By peer and key; the operator's under 0.
    signing: Vec<Vec<SigningKey>>,
    openings: Vec<OpenAccount>,
    peers: BTreeMap<PeerId, Peer>,
    broker: SigningKey,
}

fn keys() -> &'static Keys {
    static KEYS_OF_ALL: OnceLock<Keys> = OnceLock::new();
    KEYS_OF_ALL.get_or_init(|| {
        let of_peer = |peer| (0..KEYS).map(|number| key(&format!("peer {peer}, key {number}"))).collect();
        let signing: Vec<Vec<_>> = (0..=PEERS).map(of_peer).collect();
        let open = |keys: &Vec<SigningKey>| OpenAccount::check(registration(&keys[0]), BROKER, START_MS).expect("good");
        let openings: Vec<_> = signing.iter().map(open).collect();
        let peers = openings.iter().enumerate().skip(1).map(|(peer, opening)| (opening.peer(), peer)).collect();
        Keys { signing, openings, peers, broker: key("broker") }
    })
}

fn registration(signing: &SigningKey) -> Signed<Register> {
    let sealing_key = include_bytes!("../world/rsa-2048.spki.der").to_vec();
    let register = Register { broker: BROKER, signing_key: signing.public(), sealing_key, nkey: key("nkey").public() };
    Signed::new(register, signing)
}

fn peer_id(peer: Peer) -> PeerId {
    if peer == OPERATOR { PeerId::OPERATOR } else { keys().openings[peer].peer() }
}

fn number(peer: PeerId) -> Peer {
    keys().peers.get(&peer).copied().unwrap_or(OPERATOR)
}

/// In the order of their numbers.
fn sixteen(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

fn unsixteen(bytes: &[u8]) -> u64 {
    let bytes = bytes.first_chunk().expect("16 bytes of a key");
    u64::try_from(u128::from_be_bytes(*bytes)).expect("made from a number")
}

fn index(word: usize) -> PaywordIndex {
    PaywordIndex(u32::try_from(word).expect("a short chain"))
}

fn word(index: PaywordIndex) -> usize {
    usize::try_from(index.0).expect("a short chain")
}

#[derive(Default)]
pub struct Real {
    pub ledger: Memory,
    made: BTreeMap<u64, (Signed<Touchstone>, PaywordChain)>,
}

impl Real {
    /// What comes of it, and the double spends that it showed.
    pub fn answer(&mut self, at: &Moment, request: &Request, ask: &Ask) -> (Answer, Vec<Found>) {
        let facts = self.facts(at);
        let command = Command {
            request: (!ask.by_itself()).then(|| RealRequest {
                signer: if request.signer == OPERATOR { keys().openings[0].peer() } else { peer_id(request.signer) },
                id: RequestId(sixteen(request.id)),
                digest: Digest::sha256(&request.bytes.to_be_bytes()),
            }),
            action: self.action(request, ask),
        };
        let line = |line: redemption::Line| Line {
            verdict: line.verdict.name(),
            new: word(PaywordIndex(line.credited.0)),
            again: word(PaywordIndex(line.already_paid.0)),
            others: word(PaywordIndex(line.conflicting.0)),
        };
        match self.ledger.execute(&facts, command) {
            Ok(Outcome::Recorded(events)) => {
                let claims = events.iter().find_map(|event| match event {
                    Event::BatchRedeemed { claims, .. } => Some(claims.iter().map(RedeemedClaim::line).map(line)),
                    _ => None,
                });
                let found = events.iter().filter_map(|event| match event {
                    Event::DoubleSpendDetected(found) => Some(self.found(found)),
                    _ => None,
                });
                (Answer::Recorded(claims.into_iter().flatten().collect()), found.collect())
            }
            Ok(Outcome::Repeated(record)) => (Answer::Repeated(record), vec![]),
            Ok(Outcome::Unchanged(lines)) => (Answer::Unchanged(lines.into_iter().map(line).collect()), vec![]),
            Err(rejection) => (Answer::Rejected(name(&rejection)), vec![]),
        }
    }

    fn facts(&self, at: &Moment) -> Facts {
        let incarnation = load::totals(&self.ledger).expect("readable").incarnation();
        Facts { now_ms: at.now_ms, incarnation, drained_to_ms: at.drained_ms, clock_trusted: at.clock_trusted }
    }

    /// The backup takes the ledger's place, and another life begins.
    pub fn restore(&mut self, backup: &Memory, life: u64, at: &Moment) {
        self.ledger = backup.clone();
        let totals = load::totals(&self.ledger).expect("readable");
        let (head, head_at_ms) = (totals.head, totals.recorded_at_ms);
        let event = Event::LedgerRestored { incarnation: life, head, head_at_ms };
        let facts = Facts { incarnation: life, ..self.facts(at) };
        self.ledger.replay(&Record::following(head, &facts, None, vec![event]));
    }

    fn action(&mut self, request: &Request, ask: &Ask) -> Action {
        let (key, opens) = request.speaker.unwrap_or((0, false));
        let signing = &keys().signing[request.signer][key];
        let signed_by = signing.public();
        let opening = opens.then(|| keys().openings[request.signer].clone());
        let (id, valid_until_ms) = (RequestId(sixteen(request.id)), request.valid_until_ms.unwrap_or(0));
        let reason = || "why".to_owned();
        let admin = |order: &Order| {
            let (kid, order) = (Kid::of(&signed_by), wire::encode(order));
            Box::new(Signed::new(Admin { broker: BROKER, kid, request: id, valid_until_ms, order }, signing))
        };
        match ask {
            Ask::Deposit { peer, amount, reference } => {
                let (peer, amount, reference) = (peer_id(*peer), Units(*amount), format!("deposit {reference}"));
                let order = admin(&Order::Credit { peer, amount, reference: reference.clone() });
                Action::CreditFunds { order, peer, amount, reference }
            }
            Ask::Suspend { peer, suspend } => {
                let peer = peer_id(*peer);
                if *suspend {
                    Action::SuspendAccount { order: admin(&Order::Suspend { peer, reason: reason() }), peer }
                } else {
                    Action::ReinstateAccount { order: admin(&Order::Reinstate { peer, reason: reason() }), peer }
                }
            }
            Ask::Buy { payer, coins, most } => {
                let touchstones = coins.iter().map(|coin| self.made(coin).0.clone()).collect::<Vec<_>>();
                let first = &touchstones[0].content;
                let order = BuyEcoins {
                    broker: BROKER,
                    payer: peer_id(*payer),
                    request: id,
                    valid_until_ms,
                    count: u32::try_from(coins.len()).expect("few"),
                    n: first.n,
                    suite: first.suite,
                    unit_value: first.unit_value,
                    most_debited_units: Units(*most),
                    guarantee: first.guarantee,
                };
                let order = Box::new(Signed::new(order, signing));
                Action::BuyEcoins { opening, order, signed_by, touchstones, epoch: 1 }
            }
            Ask::Redeem { payee, claims } => {
                let payee = peer_id(*payee);
                let claims = claims.iter().map(|claim| self.checked(claim, payee)).collect();
                Action::RedeemBatch { opening, payee, signed_by, claims }
            }
            Ask::SettleDebt((debtor, creditor, coin)) => {
                let (debtor, creditor, ecoin) = (peer_id(*debtor), peer_id(*creditor), EcoinId(sixteen(*coin)));
                let order = admin(&Order::SettleDebt { debtor, creditor, ecoin });
                Action::SettleDebt { order, debt: DebtKey { debtor, creditor, ecoin } }
            }
            Ask::RequestPayout { peer, amount, .. } => {
                let (peer, amount_units, destination) = (peer_id(*peer), Units(*amount), "bank".into());
                let order =
                    RequestPayout { broker: BROKER, peer, request: id, valid_until_ms, amount_units, destination };
                Action::RequestPayout { opening, order: Box::new(Signed::new(order, signing)), signed_by }
            }
            Ask::EndPayout { peer, id, paid } => {
                let payout = PayoutKey { peer: peer_id(*peer), request: RequestId(sixteen(*id)) };
                if *paid {
                    let reference = format!("bank {id}");
                    let order = admin(&Order::SettlePayout { payout, reference: reference.clone() });
                    Action::SettlePayout { order, payout, reference }
                } else {
                    let order = admin(&Order::FailPayout { payout, reason: reason() });
                    Action::FailPayout { order, payout, reason: reason() }
                }
            }
            Ask::RotateKey { peer, new } => {
                let register = registration(&keys().signing[*peer][*new]);
                let (peer, digest) = (peer_id(*peer), register.content.digest());
                let order = RotateKeys { broker: BROKER, peer, request: id, valid_until_ms, register: digest };
                let rotation = Rotation::check(Signed::new(order, signing), register, signed_by);
                Action::RotatePeerKeys(Box::new(rotation.expect("good keys")))
            }
            Ask::ListKeys((incarnation, seq)) => {
                let list = KeyList {
                    broker: BROKER,
                    issued_at_ms: 0,
                    next_at_ms: 0,
                    incarnation: *incarnation,
                    seq: *seq,
                    keys: vec![],
                };
                let list = SignedKeyList { root: keys().broker.public(), list: Signed::new(list, &keys().broker) };
                Action::RotateBrokerKeys { list: Box::new(list) }
            }
            Ask::Expire(ids) => {
                Action::ExpireEcoins { ecoins: ids.iter().map(|coin| EcoinId(sixteen(*coin))).collect() }
            }
            Ask::BringBack(coins) => {
                Action::RestoreEcoins { ecoins: coins.iter().map(|coin| (self.made(coin).0.clone(), 1)).collect() }
            }
            Ask::Reconcile => Action::Reconcile { order: admin(&Order::Reconcile { reason: reason() }) },
            Ask::DoubtClock => Action::DoubtClock,
            Ask::ConfirmClock => Action::ConfirmClock { order: admin(&Order::ConfirmClock { reason: reason() }) },
        }
    }

    fn made(&mut self, coin: &Coin) -> &(Signed<Touchstone>, PaywordChain) {
        self.made.entry(coin.id).or_insert_with(|| {
            let (ecoin, n) = (EcoinId(sixteen(coin.id)), index(coin.words.len()));
            let suite = if coin.unit == 1 { Suite::Sha256 } else { Suite::Md5 };
            let last = ChainMaster::new([9; 32]).last_word(suite, &ecoin, n);
            let chain = PaywordChain::below(suite, &ecoin, n, last);
            let touchstone = Touchstone {
                broker: BROKER,
                kid: Kid::of(&keys().broker.public()),
                ecoin,
                suite,
                root: chain.root(),
                n,
                unit_value: UnitValue(coin.unit),
                payer: peer_id(coin.payer),
                payer_key: keys().signing[coin.payer][coin.key].public(),
                payer_opened_at_ms: START_MS,
                issued_at_ms: coin.issued_ms,
                spend_until_ms: coin.redeem_until_ms - MIN_REDEEM_WINDOW_MS,
                redeem_until_ms: coin.redeem_until_ms,
                guarantee: coin.bound.map_or(Guarantee::Bearer, |payee| Guarantee::Bound(peer_id(payee))),
                incarnation: coin.life,
            };
            (Signed::new(touchstone, &keys().broker), chain)
        })
    }

    /// Signed, and checked as before the writer.
    fn checked(&self, claim: &Claim, payee: PeerId) -> verify::CheckedClaim {
        let (touchstone, chain) = &self.made[&claim.coin];
        let (payer, ecoin) = (number(touchstone.content.payer), touchstone.content.ecoin);
        let grants = |signing: &&SigningKey| signing.public() == touchstone.content.payer_key;
        let signing = match claim.tampered {
            Some(Tampered::Signature) => &keys().broker,
            _ => keys().signing[payer].iter().find(grants).expect("one of the payer's"),
        };
        let granted = SignedIndex {
            broker: BROKER,
            ecoin,
            from: index(claim.from),
            to: index(claim.to),
            payee: peer_id(claim.payee),
            order: Digest::ZERO,
        };
        let right = chain.word(index(claim.through)).filter(|_| claim.tampered != Some(Tampered::Word));
        let claim = redemption::Claim {
            index: Signed::new(granted, signing),
            through: index(claim.through),
            word: right.unwrap_or(Payword::unchecked([0xee; 32])),
        };
        let row: Option<EcoinRow> = load::row(&self.ledger, &ecoin).expect("readable");
        verify::check(claim, payee, row.as_ref().map(|row| &row.touchstone.content))
    }

    fn found(&self, found: &DoubleSpend) -> Found {
        let (ecoin, grant) = (found.touchstone.content.ecoin, (word(found.grant.from), word(found.grant.to)));
        let paid_grant = (word(found.paid_grant.from), word(found.paid_grant.to));
        let coin = unsixteen(&ecoin.0);
        Found { coin, paid_to: number(found.paid_to), paid_grant, payee: number(found.payee), grant }
    }

    pub fn view(&self) -> View {
        let totals = load::totals(&self.ledger).expect("readable");
        let mut view = View {
            accounts: vec![Account::default(); PEERS + 1],
            records: totals.head.position,
            escrow: totals.escrow.0,
            outside: totals.outside.unsigned_abs(),
            life: totals.incarnation(),
            lost_since_ms: totals.restored.map(|restored| restored.head_at_ms),
            doubted: totals.clock_doubted_at_ms.is_some(),
            key_list: totals.keys.map(|known| (known.incarnation, known.seq)),
            ..View::default()
        };
        for (key, bytes) in self.table(Table::Accounts) {
            let row: AccountRow = minicbor::decode(&bytes).expect("an account");
            let peer = number(PeerId(*key.first_chunk().expect("16 bytes")));
            let opened = row.opened.as_ref().map(|opened| opened.register.content.signing_key);
            let of = |key| keys().signing[peer].iter().position(|mine| Some(mine.public()) == key).unwrap_or(0);
            view.accounts[peer] = Account {
                funded: true,
                opened: opened.is_some(),
                balance: row.balance.0,
                suspended: row.suspended_at_ms.is_some(),
                key: of(opened),
                former: row.former_keys.unwrap_or_default().into_iter().map(|key| of(Some(key))).collect(),
            };
        }
        for (key, bytes) in self.table(Table::Ecoins) {
            let row: EcoinRow = minicbor::decode(&bytes).expect("an e-coin");
            let words = vec![None; word(row.touchstone.content.n)];
            view.coins.insert(unsixteen(&key), (row.expired_at_ms.is_some(), words));
        }
        for (key, bytes) in self.table(Table::Runs) {
            let row: RunRow = minicbor::decode(&bytes).expect("a run");
            let (_, first) = key.split_first_chunk::<16>().expect("16 bytes of an e-coin");
            let first = word(PaywordIndex(u32::from_be_bytes(first.try_into().expect("4 bytes of an index"))));
            let (_, words) = view.coins.get_mut(&unsixteen(&key)).expect("runs are of an e-coin that is there");
            words[first - 1..word(row.through)].fill(Some((number(row.payee), row.position, first)));
        }
        for (key, bytes) in self.table(Table::Debts) {
            let row: DebtRow = minicbor::decode(&bytes).expect("a debt");
            let peer = |at: usize| number(PeerId(*key[at..].first_chunk().expect("16 bytes")));
            view.debts.push(Debt { name: (peer(0), peer(16), unsixteen(&key[32..])), open: row.open.0 });
        }
        for (key, bytes) in self.table(Table::Payouts) {
            let row: PayoutRow = minicbor::decode(&bytes).expect("a payout");
            let paid = match row.state {
                PayoutState::Requested => None,
                PayoutState::Settled { .. } => Some(true),
                PayoutState::Failed { .. } => Some(false),
            };
            let peer = number(PeerId(*key.first_chunk().expect("16 bytes")));
            view.payouts.push(Payout { peer, id: unsixteen(&key[16..]), amount: row.amount.0, paid });
        }
        view.debts.sort();
        view.payouts.sort();
        view
    }

    fn table(&self, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.ledger.range(table, &[], &[0xff; 64]).expect("readable")
    }

    /// The same again, from nothing but its records.
    pub fn replayed(&self) -> Memory {
        let (mut copy, mut head) = (Memory::default(), Head::default());
        for bytes in self.ledger.records() {
            let (record, next) = Record::read(bytes, head).expect("a chained log");
            copy.replay(&record);
            head = next;
        }
        copy
    }
}

/// As the reference calls it.
fn name(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::RequestIdReused => "RequestIdReused",
        Rejection::RequestExpired { .. } => "RequestExpired",
        Rejection::ValidityTooLong => "ValidityTooLong",
        Rejection::StaleFacts => "StaleFacts",
        Rejection::AccountUnknown => "AccountUnknown",
        Rejection::NotTheAccountsKey => "NotTheAccountsKey",
        Rejection::Suspended => "Suspended",
        Rejection::InDebt { .. } => "InDebt",
        Rejection::AlreadySuspended => "AlreadySuspended",
        Rejection::NotSuspended => "NotSuspended",
        Rejection::PriceAboveLimit { .. } => "PriceAboveLimit",
        Rejection::InsufficientFunds { .. } => "InsufficientFunds",
        Rejection::ReferenceReused => "ReferenceReused",
        Rejection::AmountOutOfRange => "AmountOutOfRange",
        Rejection::DebtUnknown => "DebtUnknown",
        Rejection::SettlementTooEarly { .. } => "SettlementTooEarly",
        Rejection::NothingToPay => "NothingToPay",
        Rejection::InvariantWouldBreak(which) => which,
        Rejection::PayoutUnknown => "PayoutUnknown",
        Rejection::PayoutWasSettled { .. } => "PayoutWasSettled",
        Rejection::PayoutHasFailed { .. } => "PayoutHasFailed",
        Rejection::PayoutAboveBalance { .. } => "PayoutAboveBalance",
        Rejection::NotReconciled => "NotReconciled",
        Rejection::NothingToReconcile => "NothingToReconcile",
        Rejection::ClockInDoubt => "ClockInDoubt",
        Rejection::ClockNotInDoubt => "ClockNotInDoubt",
        Rejection::TooManyRotations { .. } => "TooManyRotations",
        Rejection::KeyUsedBefore => "KeyUsedBefore",
        Rejection::KeyListNotNewer => "KeyListNotNewer",
    }
}
