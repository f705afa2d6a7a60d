//! One good value of each kind that `samples` does not have.

use netpay_protocol::admin::*;
use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units, WordCount};
use netpay_protocol::buy::{BuyEcoins, SealedPaywords};
use netpay_protocol::certificate::Certificate;
use netpay_protocol::evidence::{Evidence, KeyChange, Succession};
use netpay_protocol::ids::{BrokerId, ContentId, Digest, EcoinId, Kid, PeerId, RequestId};
use netpay_protocol::index::Grant;
use netpay_protocol::layout::Signed;
use netpay_protocol::listing::Withdraw;
use netpay_protocol::messages::{Account, Hit};
use netpay_protocol::payment::{Payment, Revealed};
use netpay_protocol::payout::{PayoutKey, PayoutState, PayoutView, RequestPayout};
use netpay_protocol::query::{Answer, OwnEcoin, Query, Question};
use netpay_protocol::quote::{Quote, Receipt};
use netpay_protocol::redemption::Head;
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::runs::Run;
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::Guarantee;

use crate::samples::*;

pub const REQUEST: RequestId = RequestId([10; 16]);
pub const ECOIN: EcoinId = EcoinId([4; 16]);

pub fn buy() -> BuyEcoins {
    BuyEcoins {
        broker: BROKER,
        payer: PAYEE,
        request: REQUEST,
        valid_until_ms: 5,
        count: 2,
        n: PaywordIndex(256),
        suite: Suite::Sha256,
        unit_value: UnitValue(1),
        most_debited_units: Units(512),
        guarantee: Guarantee::Bearer,
    }
}

pub fn sealed() -> SealedPaywords {
    SealedPaywords {
        broker: BROKER,
        kid: Kid([1; 8]),
        payer: PAYEE,
        request: REQUEST,
        wrapped_key: vec![2; 256],
        ciphertext: vec![3; 64],
    }
}

pub fn register() -> Register {
    let sealing_key = vec![1; 294];
    Register { broker: BROKER, signing_key: key(1).public(), sealing_key, nkey: key(2).public() }
}

pub fn revoked(peers: u8) -> RevocationList {
    RevocationList {
        broker: BROKER,
        kid: Kid([1; 8]),
        incarnation: 1,
        seq: 2,
        issued_at_ms: 3,
        next_at_ms: 4,
        peers: (0..peers).map(|i| (PeerId([i; 16]), 5)).collect(),
    }
}

pub fn payout() -> RequestPayout {
    RequestPayout {
        broker: BROKER,
        peer: PAYEE,
        request: REQUEST,
        valid_until_ms: 5,
        amount_units: Units(7),
        destination: "account 7".into(),
    }
}

pub fn certificate() -> Certificate {
    Certificate {
        broker: BROKER,
        kid: Kid([3; 8]),
        peer: PAYEE,
        signing_key: key(2).public(),
        given_up: 1,
        issued_at_ms: 5,
    }
}

pub fn rotation() -> RotateKeys {
    RotateKeys { broker: BROKER, peer: PAYEE, request: REQUEST, valid_until_ms: 5, register: Digest([8; 32]) }
}

pub fn ledger_views() -> Vec<LedgerView> {
    let view = LedgerView { incarnation: 1, restored_from: None, clock_trusted: true, head: head() };
    let restored = LedgerView { incarnation: 2, restored_from: Some(head()), clock_trusted: false, ..view.clone() };
    vec![view, restored]
}

pub fn query(question: Question) -> Query {
    Query { broker: BROKER, peer: PAYEE, valid_until_ms: 1, min_position: 2, question }
}

pub fn answer() -> Answer {
    Answer { broker: BROKER, kid: Kid([1; 8]), about: Digest([2; 32]), issued_at_ms: 3, body: vec![1, 2, 3] }
}

pub fn admin(order: &Order) -> Admin {
    let order = netpay_protocol::wire::encode(order);
    Admin { broker: BROKER, kid: Kid([1; 8]), request: REQUEST, valid_until_ms: 5, order }
}

pub fn quote() -> Quote {
    Quote {
        broker: BROKER,
        content: ContentId([1; 32]),
        size_bytes: 5,
        chunk_bytes: 65_536,
        first_chunk: 0,
        chunk_count: 1,
        price_units: Units(3),
        payee: PAYEE,
        expires_ms: 9,
        nonce: [1; 16],
    }
}

pub fn receipt() -> Receipt {
    Receipt {
        broker: BROKER,
        payee: PAYEE,
        payer: PeerId([6; 16]),
        order: Digest([8; 32]),
        paid_units: Units(3),
        issued_at_ms: 4,
    }
}

pub fn withdraw() -> Withdraw {
    Withdraw { broker: BROKER, supplier: PAYEE, content: ContentId([1; 32]), issued_at_ms: 3 }
}

pub fn orders() -> Vec<Order> {
    let (peer, reason, reference) = (PAYEE, String::from("a reason"), String::from("a reference"));
    vec![
        Order::Credit { peer, amount: Units(5), reference: reference.clone() },
        Order::Suspend { peer, reason: reason.clone() },
        Order::Reinstate { peer, reason: reason.clone() },
        Order::SettleDebt { debtor: peer, creditor: peer, ecoin: ECOIN },
        Order::ListAccounts { after: None },
        Order::ListAccounts { after: Some(peer) },
        Order::ShowAccount { peer },
        Order::ShowEcoin { ecoin: ECOIN },
        Order::ListDoubleSpends { after: Some(double_spend_key()) },
        Order::ListPayouts { after: Some(payout_key()) },
        Order::SettlePayout { payout: payout_key(), reference },
        Order::FailPayout { payout: payout_key(), reason: reason.clone() },
        Order::Reconcile { reason: reason.clone() },
        Order::ConfirmClock { reason },
        Order::Backup {},
    ]
}

pub fn evidence() -> Evidence {
    let grant = || Signed::new(index(), &key(2));
    let touchstone = Signed::new(touchstone(), &key(2));
    let succession = Some(succession());
    Evidence { keys: key_list(&key(1)), touchstone, first: grant(), second: grant(), succession }
}

pub fn succession() -> Succession {
    Succession { first: key(1).public(), changes: vec![key_change(), key_change()] }
}

pub fn key_change() -> KeyChange {
    KeyChange { order: Signed::new(rotation(), &key(2)), register: Signed::new(register(), &key(2)) }
}

pub fn head() -> Head {
    Head { position: 7, hash: Digest([11; 32]) }
}

pub fn grant() -> Grant {
    Grant::from(&Signed::new(index(), &key(7)))
}

pub fn double_spend_key() -> DoubleSpendKey {
    DoubleSpendKey { ecoin: ECOIN, payee: PAYEE }
}

pub fn double_spend() -> DoubleSpendView {
    DoubleSpendView {
        key: double_spend_key(),
        payer: PeerId([6; 16]),
        paid_to: PAYEE,
        paid_grant: grant(),
        grant: grant(),
        conflicting: WordCount(5),
        debt: Units(5),
        open_debt: Units(4),
        position: 9,
    }
}

pub fn payout_key() -> PayoutKey {
    PayoutKey { peer: PAYEE, request: REQUEST }
}

pub fn payout_states() -> Vec<PayoutState> {
    vec![
        PayoutState::Requested,
        PayoutState::Settled { reference: "a reference".into(), at_ms: 3 },
        PayoutState::Failed { reason: "a reason".into(), at_ms: 3 },
    ]
}

pub fn payout_views() -> Vec<PayoutView> {
    let view = |state| PayoutView {
        peer: PAYEE,
        request: REQUEST,
        amount: Units(7),
        destination: "account 7".into(),
        requested_at_ms: 2,
        state,
        position: 4,
    };
    payout_states().into_iter().map(view).collect()
}

pub fn account_view() -> AccountView {
    AccountView {
        peer: PAYEE,
        balance: Units(5),
        debt: Units(0),
        opened_at_ms: Some(3),
        suspended_at_ms: None,
        last_redeem_until_ms: 9,
        head: head(),
    }
}

pub fn run() -> Run {
    Run { from: PaywordIndex(1), through: PaywordIndex(5) }
}

pub fn paid_run() -> PaidRun {
    PaidRun { run: run(), payee: PAYEE, position: 3 }
}

pub fn ecoin_view() -> EcoinView {
    EcoinView {
        ecoin: ECOIN,
        payer: PAYEE,
        suite: Suite::Sha256,
        n: PaywordIndex(50),
        unit_value: UnitValue(1),
        issued_at_ms: 1,
        spend_until_ms: 2,
        redeem_until_ms: 3,
        paid: WordCount(5),
        expired_at_ms: None,
        position: 4,
        runs: vec![paid_run(); 2],
    }
}

pub fn own_ecoin() -> OwnEcoin {
    OwnEcoin { touchstone: Signed::new(touchstone(), &key(1)), paid: vec![paid_run()] }
}

pub fn revealed() -> Revealed {
    Revealed::one(PaywordIndex(3), Payword::unchecked([2; 32]))
}

pub fn payments() -> Vec<Payment> {
    let (touchstone, index) = (Signed::new(touchstone(), &key(1)), Signed::new(index(), &key(7)));
    vec![
        Payment::First { touchstone, index: index.clone(), revealed: revealed() },
        Payment::Grown { index, revealed: revealed() },
        Payment::Words { ecoin: ECOIN, from: PaywordIndex(1), revealed: revealed() },
    ]
}

pub fn hit() -> Hit {
    Hit { listing: Signed::new(listing(), &key(2)), key: key(2).public(), online: true }
}

pub fn account() -> Account {
    Account { peer: PAYEE, keys: key_list(&key(1)) }
}

pub fn broker_of(seed: u8) -> BrokerId {
    BrokerId::of(&key(seed).public())
}
