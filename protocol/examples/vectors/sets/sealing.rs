//! Sealed paywords with everything that is secret: the RSA key, the fresh key, OAEP's seed, and the words.

use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::ids::{EcoinId, RequestId};
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::sealing::{LastWord, PublicSealingKey, Purchase};
use netpay_protocol::suite::Suite;

use super::fields::signed;
use super::json::{Json, hex, list, object};
use super::values::purchase;
use super::world::*;

fn additional_data(purchase: Purchase) -> Vec<u8> {
    let tag = b"p2p-netpay/v1/sealed-paywords\0".as_slice();
    [tag, &purchase.broker.0, &purchase.payer.0, &purchase.request.0].concat()
}

fn seal(name: &str, why: &str, ecoins: &[EcoinId], first: u8) -> Json {
    let private = sealing_key();
    let public = PublicSealingKey::from_der(&private.public_der()).expect("a good key");
    let last = |ecoin: &EcoinId| chain(Suite::Sha256, *ecoin, 50).word(PaywordIndex(50)).expect("on the chain");
    let words: Vec<LastWord> = ecoins.iter().map(|ecoin| (*ecoin, last(ecoin))).collect();
    let sealed = public.seal(kid(TOUCHSTONE_KEY), purchase(), &words, &mut Counting(first));
    let drawn: Vec<u8> = (0..64).map(|i: u8| first.wrapping_add(i)).collect();
    let opened = private.open(purchase(), &sealed, &mut Counting(9)).expect("opens");
    assert_eq!(opened, words);
    let plain: Vec<u8> = words.iter().flat_map(|(ecoin, word)| [&ecoin.0[..], word.bytes()].concat()).collect();
    object! {
        "name" => name,
        "why" => why,
        "opens" => true,
        "private_key_pkcs8" => hex(&private.to_der()),
        "public_key_spki" => hex(&private.public_der()),
        "fresh_key" => hex(&drawn[..32]),
        "oaep_seed" => hex(&drawn[32..]),
        "nonce" => "000000000000000000000000",
        "additional_data" => hex(&additional_data(purchase())),
        "plaintext" => hex(&plain),
        "words" => list(words.iter().map(|(ecoin, word)| object! { "ecoin" => *ecoin, "last_word" => *word })),
        "sealed" => signed(&Signed::new(sealed, &key(TOUCHSTONE_KEY))),
    }
}

fn fails(name: &str, why: &str, change: impl Fn(&mut netpay_protocol::buy::SealedPaywords, &mut Purchase)) -> Json {
    let (mut sealed, mut purchase) = (super::values::sealed(), purchase());
    change(&mut sealed, &mut purchase);
    assert!(sealing_key().open(purchase, &sealed, &mut Counting(9)).is_err(), "{name}");
    object! {
        "name" => name,
        "why" => why,
        "opens" => false,
        "private_key_pkcs8" => hex(&sealing_key().to_der()),
        "additional_data" => hex(&additional_data(purchase)),
        "layout" => hex(&sealed.to_bytes()),
        "wrapped_key" => hex(&sealed.wrapped_key),
        "ciphertext" => hex(&sealed.ciphertext),
    }
}

pub fn vectors() -> Vec<Json> {
    vec![
        seal("one chain", "the fresh key is drawn first, then OAEP's seed", &[ECOIN], 0),
        seal(
            "three chains",
            "48 bytes each, in the order of the touchstones",
            &[ECOIN, EcoinId([2; 16]), EcoinId([3; 16])],
            100,
        ),
        fails("another request", "opened for a purchase that is not the one it was sealed for", |_, purchase| {
            purchase.request = RequestId([9; 16])
        }),
        fails("another payer", "opened by a payer whom it was not sealed for", |_, purchase| {
            purchase.payer = peer(BOB)
        }),
        fails("a changed wrapped key", "OAEP does not open", |sealed, _| sealed.wrapped_key[9] ^= 1),
        fails("a changed tag", "ChaCha20-Poly1305 does not open", |sealed, _| {
            let last = sealed.ciphertext.len() - 1;
            sealed.ciphertext[last] ^= 1;
        }),
        fails("a shorter ciphertext", "a byte is missing", |sealed, _| {
            sealed.ciphertext.pop();
        }),
    ]
}
