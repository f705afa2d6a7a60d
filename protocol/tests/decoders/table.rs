//! Every decoder of the protocol, once. A test holds this list against the sources, so that none is forgotten.

use std::sync::LazyLock;

use netpay_protocol::admin::{
    AccountView, Admin, DoubleSpendKey, DoubleSpendView, EcoinView, LedgerView, Order, Page, PaidRun,
};
use netpay_protocol::amounts::Units;
use netpay_protocol::buy::{BuyEcoins, SealedPaywords};
use netpay_protocol::certificate::Certificate;
use netpay_protocol::evidence::{Evidence, KeyChange, Succession};
use netpay_protocol::ids::{BrokerId, ContentId, Digest, EcoinId, Kid, PeerId, RequestId};
use netpay_protocol::index::{Grant, SignedIndex};
use netpay_protocol::key_list::{KeyList, SignedKeyList};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::{Layout, Signed};
use netpay_protocol::listing::{Listing, Withdraw};
use netpay_protocol::messages::*;
use netpay_protocol::payment::{Pay, Payment, Revealed};
use netpay_protocol::payout::{PayoutKey, PayoutState, PayoutView, RequestPayout};
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::query::{Answer, OwnEcoin, Query, Question};
use netpay_protocol::quote::{Quote, Receipt};
use netpay_protocol::redemption::{Head, Line, RedemptionBatch, Statement, Verdict};
use netpay_protocol::register::{Register, RotateKeys};
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::runs::Run;
use netpay_protocol::sealing::{PublicSealingKey, Purchase, SealingKey};
use netpay_protocol::subjects::{self, BrokerOp, PeerOp};
use netpay_protocol::suite::{Payword, Suite};
use netpay_protocol::touchstone::Touchstone;

use crate::properties::{Decoder, layout, message, other, text};
use crate::samples::*;
use crate::values::*;

/// Every decoder.
pub fn all() -> Vec<Decoder> {
    let mut all = layouts();
    all.extend(signed_layouts());
    all.extend(messages());
    all.extend(parts());
    all.extend(texts());
    all.extend(keys());
    all
}

/// What is signed.
pub fn layouts() -> Vec<Decoder> {
    let questions = [
        Question::Balance,
        Question::Statement(REQUEST),
        Question::Ecoins(ECOIN),
        Question::Payouts(REQUEST),
        Question::Certificate(PAYEE),
    ];
    vec![
        layout::<Admin>("Admin", &orders().iter().map(admin).collect::<Vec<_>>()),
        layout::<Answer>("Answer", &[answer()]),
        layout::<BuyEcoins>("BuyEcoins", &[buy()]),
        layout::<KeyList>("KeyList", &[key_list(&key(1)).list.content]),
        layout::<Listing>("Listing", &[listing()]),
        layout::<Query>("Query", &questions.map(query)),
        layout::<Quote>("Quote", &[quote()]),
        layout::<Receipt>("Receipt", &[receipt()]),
        layout::<RedemptionBatch>("RedemptionBatch", &[batch(0), batch(2)]),
        layout::<Register>("Register", &[register()]),
        layout::<RequestPayout>("RequestPayout", &[payout()]),
        layout::<RevocationList>("RevocationList", &[revoked(0), revoked(3)]),
        layout::<SealedPaywords>("SealedPaywords", &[sealed()]),
        layout::<SignedIndex>("SignedIndex", &[index()]),
        layout::<Statement>("Statement", &[statement(&batch(2))]),
        layout::<Touchstone>("Touchstone", &[touchstone()]),
        layout::<Withdraw>("Withdraw", &[withdraw()]),
        layout::<RotateKeys>("RotateKeys", &[rotation()]),
        layout::<Certificate>("Certificate", &[certificate()]),
    ]
}

fn signed<L: Layout>(content: L) -> Signed<L> {
    Signed::new(content, &key(2))
}

/// What travels as one signed thing.
fn signed_layouts() -> Vec<Decoder> {
    vec![
        message("Signed<Admin>", &[signed(admin(&Order::ShowAccount { peer: PAYEE }))]),
        message("Signed<Answer>", &[signed(answer())]),
        message("Signed<Query>", &[signed(query(Question::Balance))]),
        message("Signed<Quote>", &[signed(quote())]),
        message("Signed<Receipt>", &[signed(receipt())]),
        message("Signed<RedemptionBatch>", &[signed(batch(1))]),
        message("Signed<Register>", &[signed(register())]),
        message("Signed<RevocationList>", &[signed(revoked(2))]),
        message("Signed<SignedIndex>", &[signed(index())]),
        message("Signed<Statement>", &[signed(statement(&batch(1)))]),
        message("Signed<Touchstone>", &[signed(touchstone())]),
        message("Signed<Certificate>", &[signed(certificate())]),
    ]
}

/// What travels on a subject, or as the body of an answer.
fn messages() -> Vec<Decoder> {
    let register = || Some(signed(register()));
    let touchstones = || vec![signed(touchstone()), signed(touchstone())];
    vec![
        message::<Account>("Account", &[account()]),
        message::<Announce>("Announce", &[Announce { listing: signed(listing()), key: key(2).public() }]),
        message::<Ask>("Ask", &[Ask { query: signed(query(Question::Balance)), register: register() }]),
        message::<AskChunk>("AskChunk", &[AskChunk { order: Digest([8; 32]), index: 70_000 }]),
        message::<AskQuote>(
            "AskQuote",
            &[None, Some(3)].map(|chunk_count| AskQuote { content: ContentId([1; 32]), first_chunk: 2, chunk_count }),
        ),
        message::<AskReceipt>("AskReceipt", &[AskReceipt { order: Digest([8; 32]) }]),
        message::<Buy>("Buy", &[None, register()].map(|register| Buy { buy: signed(buy()), register })),
        message::<Chunk>("Chunk", &[Chunk { slice: vec![7; 300] }]),
        message::<Done>("Done", &[Done {}]),
        message::<Evidence>("Evidence", &[evidence(), Evidence { succession: None, ..evidence() }]),
        message::<KeyChange>("KeyChange", &[key_change()]),
        message::<Succession>("Succession", &[succession()]),
        message::<Hits>("Hits", &[Hits { hits: vec![hit(); 2], more: true }]),
        message::<Order>("Order", &orders()),
        message::<Page<AccountView>>("Page<AccountView>", &[Page { items: vec![account_view(); 2], more: true }]),
        message::<Page<DoubleSpendView>>("Page<DoubleSpendView>", &[Page { items: vec![double_spend()], more: false }]),
        message::<Page<OwnEcoin>>("Page<OwnEcoin>", &[Page { items: vec![own_ecoin()], more: true }]),
        message::<Page<PayoutView>>("Page<PayoutView>", &[Page { items: payout_views(), more: true }]),
        message::<Paid>("Paid", &[Paid { paid: Units(300) }]),
        message::<Pay>(
            "Pay",
            &payments().into_iter().map(|payment| Pay { order: Digest([8; 32]), payment }).collect::<Vec<_>>(),
        ),
        message::<Problem>("Problem", &[Problem::new(Kind::NotFound, "expected an account that there is")]),
        message::<Quoted>(
            "Quoted",
            &[Quoted { quote: signed(quote()), key: key(2).public(), suites: vec![Suite::Md5, Suite::Sha256] }],
        ),
        message::<Redeem>(
            "Redeem",
            &[Redeem { batch: signed(batch(2)), touchstones: touchstones(), register: register() }],
        ),
        message::<Search>("Search", &[Search { text: "free music".into(), skip: 20, limit: 100 }]),
        message::<SignedKeyList>("SignedKeyList", &[key_list(&key(1))]),
        message::<Sold>("Sold", &[Sold { sealed: signed(sealed()), touchstones: touchstones(), position: 1_000 }]),
        message::<TakeBack>("TakeBack", &[TakeBack { withdraw: signed(withdraw()), key: key(2).public() }]),
        message::<Withdrawal>("Withdrawal", &[Withdrawal { payout: signed(payout()), register: register() }]),
        message::<Rotate>(
            "Rotate",
            &[Rotate { order: signed(rotation()), register: signed(crate::values::register()) }],
        ),
    ]
}

/// What messages, and rows of ledgers and tills, are made of.
fn parts() -> Vec<Decoder> {
    vec![
        message::<AccountView>("AccountView", &[account_view()]),
        message::<DoubleSpendKey>("DoubleSpendKey", &[double_spend_key()]),
        message::<DoubleSpendView>("DoubleSpendView", &[double_spend()]),
        message::<EcoinView>("EcoinView", &[ecoin_view()]),
        message::<Grant>("Grant", &[grant()]),
        message::<Head>("Head", &[head()]),
        message::<Hit>("Hit", &[hit()]),
        message::<Kind>("Kind", &[Kind::Malformed, Kind::Fork]),
        message::<Line>("Line", &statement(&batch(1)).lines),
        message::<OwnEcoin>("OwnEcoin", &[own_ecoin()]),
        message::<PaidRun>("PaidRun", &[paid_run()]),
        message::<Payment>("Payment", &payments()),
        message::<PayoutKey>("PayoutKey", &[payout_key()]),
        message::<PayoutState>("PayoutState", &payout_states()),
        message::<PayoutView>("PayoutView", &payout_views()),
        message::<Payword>("Payword", &[Payword::unchecked([5; 32])]),
        message::<Revealed>("Revealed", &[revealed()]),
        message::<Run>("Run", &[run()]),
        message::<Suite>("Suite", &[Suite::Md5, Suite::Sha256]),
        message::<Verdict>("Verdict", &Verdict::ALL),
        message::<LedgerView>("LedgerView", &ledger_views()),
    ]
}

/// What people write, and the subjects that NATS brings.
fn texts() -> Vec<Decoder> {
    let (to, from) = (PeerId([5; 16]), PeerId([6; 16]));
    let requests = BrokerOp::ALL.iter().map(|op| subjects::request(from, *op).into_bytes()).collect();
    let between = PeerOp::ALL.iter().map(|op| subjects::peer(to, from, *op).into_bytes()).collect();
    vec![
        text::<BrokerId>("text BrokerId", &[broker_of(1)]),
        text::<ContentId>("text ContentId", &[ContentId([0xab; 32])]),
        text::<Digest>("text Digest", &[Digest([0xcd; 32])]),
        text::<EcoinId>("text EcoinId", &[ECOIN]),
        text::<Kid>("text Kid", &[Kid([0xef; 8])]),
        text::<PeerId>("text PeerId", &[PeerId([0x1f; 16])]),
        text::<PublicKey>("text PublicKey", &[key(1).public()]),
        text::<RequestId>("text RequestId", &[REQUEST]),
        text::<Suite>("text Suite", &[Suite::Md5, Suite::Sha256]),
        other(
            "subject of a request",
            |bytes| {
                let subject = str::from_utf8(bytes).ok()?;
                let sender = subjects::sender(subject)?;
                assert_eq!(subject.split('.').nth(3).map(str::to_ascii_lowercase), Some(sender.to_string()));
                Some(bytes.to_vec())
            },
            requests,
        ),
        other(
            "subject between peers",
            |bytes| {
                let subject = str::from_utf8(bytes).ok()?;
                let (from, op) = subjects::peer_sender(subject)?;
                let end: Vec<_> = subject.split('.').skip(4).collect();
                assert_eq!(end, [end[0], op.token()]);
                assert_eq!(end[0].to_ascii_lowercase(), from.to_string());
                Some(bytes.to_vec())
            },
            between,
        ),
    ]
}

/// The peer whose words are sealed here. Drawn once: it takes a second.
static SEALING: LazyLock<SealingKey> = LazyLock::new(|| SealingKey::generate(2_048, &mut rng()).expect("in range"));

const PURCHASE: Purchase = Purchase { broker: BROKER, payer: PAYEE, request: REQUEST };

/// Keys, and what only a key reads. RSA takes milliseconds, and memory for its arithmetic.
fn keys() -> Vec<Decoder> {
    let public = SEALING.public_der();
    let words = [(ECOIN, Payword::unchecked([5; 32]))];
    let sealed = PublicSealingKey::from_der(&public).expect("its own").seal(Kid([1; 8]), PURCHASE, &words, &mut rng());
    let point = |bytes: &[u8]| {
        let key = PublicKey(bytes.try_into().ok()?);
        key.check_registrable().ok().map(|()| key.0.to_vec())
    };
    let open = |bytes: &[u8]| {
        let sealed = SealedPaywords::from_bytes(bytes).ok()?;
        SEALING.open(PURCHASE, &sealed, &mut rng()).ok().map(|_| sealed.to_bytes())
    };
    let private = |bytes: &[u8]| SealingKey::from_der(bytes).ok().map(|key| key.to_der().to_vec());
    vec![
        other("PublicKey::check_registrable", point, vec![key(1).public().0.to_vec()]),
        Decoder {
            memory_bytes: 8_192,
            ..other(
                "PublicSealingKey::from_der",
                |bytes| PublicSealingKey::from_der(bytes).ok().map(|_| bytes.to_vec()),
                vec![public],
            )
        },
        Decoder {
            memory_bytes: 16_384,
            cost: 50,
            ..other("SealingKey::from_der", private, vec![SEALING.to_der().to_vec()])
        },
        Decoder { memory_bytes: 16_384, cost: 50, ..other("SealingKey::open", open, vec![sealed.to_bytes()]) },
    ]
}
