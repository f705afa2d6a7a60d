//! Messages with as many items as fit: what costs most to read, in memory and time.

use netpay_protocol::admin::{AccountView, EcoinView, Page};
use netpay_protocol::amounts::{PaywordIndex, Units};
use netpay_protocol::ids::{Digest, PeerId};
use netpay_protocol::key_list::KeyList;
use netpay_protocol::layout::Signed;
use netpay_protocol::limits::{MAX_CLAIMS_PER_BATCH, MAX_KEYS, MAX_MESSAGE_BYTES, MAX_REVOKED};
use netpay_protocol::messages::{Chunk, Hits, Quoted, Redeem, Sold};
use netpay_protocol::payment::{Pay, Payment, Revealed};
use netpay_protocol::payout::{PayoutState, PayoutView};
use netpay_protocol::query::Answer;
use netpay_protocol::redemption::{Head, Statement};
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::suite::{Payword, Suite};

use crate::properties::{Decoder, layout, message};
use crate::samples::*;
use crate::values::*;

fn few(number: u32) -> usize {
    usize::try_from(number).expect("a limit")
}

/// So many items of this size fit, with room for what is around them.
fn fit(item_bytes: usize) -> usize {
    (MAX_MESSAGE_BYTES - 2_000) / item_bytes
}

/// Each with its decoder.
pub fn all() -> Vec<(Decoder, Vec<u8>)> {
    let touchstones = |count| vec![Signed::new(touchstone(), &key(1)); count];
    let key_list = key_list(&key(1)).list.content;
    let keys = vec![key_list.keys[0]; few(MAX_KEYS)];
    let peer = |i: u32| PeerId(std::array::from_fn(|at| i.to_be_bytes().get(at).copied().unwrap_or(0)));
    let largest = batch(few(MAX_CLAIMS_PER_BATCH));
    let smallest_account =
        AccountView { opened_at_ms: None, balance: Units(0), head: Head::default(), ..account_view() };
    let smallest_payout = PayoutView {
        destination: String::new(),
        amount: Units(0),
        state: PayoutState::Requested,
        ..payout_views()[0].clone()
    };
    let words = vec![Payword::unchecked([2; 32]); fit(34)];
    let revealed = Revealed { through: PaywordIndex(3), words };
    let decoders = vec![
        layout::<Answer>("Answer", &[Answer { body: vec![7; MAX_MESSAGE_BYTES], ..answer() }]),
        layout::<KeyList>("KeyList", &[KeyList { keys, ..key_list }]),
        layout::<RevocationList>(
            "RevocationList",
            &[RevocationList { peers: (0..MAX_REVOKED).map(|i| (peer(i), 1)).collect(), ..revoked(0) }],
        ),
        layout::<Statement>("Statement", &[statement(&largest)]),
        message("Chunk", &[Chunk { slice: vec![7; fit(1)] }]),
        message("Hits", &[Hits { hits: vec![hit(); fit(380)], more: true }]),
        message("Page<AccountView>", &[Page { items: vec![smallest_account; fit(70)], more: true }]),
        message("Page<PayoutView>", &[Page { items: vec![smallest_payout; fit(50)], more: true }]),
        message("EcoinView", &[EcoinView { runs: vec![paid_run(); fit(30)], ..ecoin_view() }]),
        message(
            "Pay",
            &[Pay {
                order: Digest([8; 32]),
                payment: Payment::Words { ecoin: ECOIN, from: PaywordIndex(1), revealed },
            }],
        ),
        message(
            "Quoted",
            &[Quoted { quote: Signed::new(quote(), &key(2)), key: key(2).public(), suites: vec![Suite::Md5; fit(1)] }],
        ),
        message(
            "Redeem",
            &[Redeem { batch: Signed::new(largest, &key(2)), touchstones: touchstones(1_600), register: None }],
        ),
        message(
            "Sold",
            &[Sold { sealed: Signed::new(sealed(), &key(2)), touchstones: touchstones(fit(340)), position: 1 }],
        ),
    ];
    decoders.into_iter().map(|mut decoder| (decoder.samples.remove(0), decoder)).map(|(bytes, d)| (d, bytes)).collect()
}
