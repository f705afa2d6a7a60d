//! Hash steps, seeds and chains of both suites; and who is who.

use hkdf::Hkdf;
use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::chain::{ChainMaster, PaywordChain, reaches_root};
use netpay_protocol::ids::{BrokerId, EcoinId, Kid, PeerId};
use netpay_protocol::suite::{Payword, Suite};
use sha2::Sha256;

use super::json::{Json, hex, list, object};
use super::world::*;

pub fn ids() -> Vec<Json> {
    [ROOT, TOUCHSTONE_KEY, STATEMENT_KEY, NOTICE_KEY, OPERATOR, ALICE, BOB, CAROL]
        .into_iter()
        .map(|who| {
            let public = key(who).public();
            object! {
                "name" => format!("key {who}"),
                "why" => "the key's three names: as a broker's root key, as a peer's first signing key, as a listed key",
                "key_seed" => hex(&seed(who)),
                "key" => public,
                "broker_id" => BrokerId::of(&public),
                "peer_id" => PeerId::of(&public),
                "kid" => Kid::of(&public),
            }
        })
        .collect()
}

pub fn steps() -> Vec<Json> {
    let word = |byte: u8, suite: Suite| {
        let mut bytes = [0; 32];
        bytes[..suite.word_len()].fill(byte);
        suite.word(bytes).expect("padded with zeros")
    };
    let cases = [
        ("md5 zeros", Suite::Md5, EcoinId([0; 16]), 1, 0, "MD5 over 16 zero bytes; e-coin and position play no part"),
        ("md5 other", Suite::Md5, ECOIN, 50, 0xa5, "the same rule at another position of another e-coin"),
        ("sha256 zeros", Suite::Sha256, EcoinId([0; 16]), 1, 0, "SHA-256 over 01, 16 zeros, 00000001, 32 zeros"),
        ("sha256 first", Suite::Sha256, ECOIN, 1, 0xa5, "the step to the root"),
        ("sha256 fiftieth", Suite::Sha256, ECOIN, 50, 0xa5, "the same word at another position gives another word"),
        ("sha256 farthest", Suite::Sha256, ECOIN, 4_097, 0xa5, "from the seed of the longest chain to its last word"),
    ];
    cases
        .into_iter()
        .map(|(name, suite, ecoin, i, byte, why)| {
            let upper = word(byte, suite);
            object! {
                "name" => name,
                "why" => why,
                "suite" => suite,
                "ecoin" => ecoin,
                "i" => i,
                "word_i" => upper,
                "word_i_minus_1" => suite.step(&ecoin, PaywordIndex(i), &upper),
            }
        })
        .collect()
}

/// W(n+1), as the rule says: the crate itself never lets it out.
fn seed_of(suite: Suite, ecoin: EcoinId, n: u32) -> (Vec<u8>, Vec<u8>) {
    let mut info = b"p2p-netpay/v1/chain\0".to_vec();
    info.push(suite.number());
    info.extend(n.to_be_bytes());
    info.extend(ecoin.0);
    let mut seed = vec![0; suite.word_len()];
    Hkdf::<Sha256>::new(None, &master()).expand(&info, &mut seed).expect("short");
    (info, seed)
}

pub fn chains() -> Vec<Json> {
    let mut vectors = Vec::new();
    for suite in [Suite::Md5, Suite::Sha256] {
        for n in [1, 2, 5, 50, 256, 4_096] {
            let ecoin = ECOIN;
            let last = ChainMaster::new(master()).last_word(suite, &ecoin, PaywordIndex(n));
            let chain = PaywordChain::below(suite, &ecoin, PaywordIndex(n), last);
            let (info, seed) = seed_of(suite, ecoin, n);
            let told: Vec<u32> = if n <= 50 { (0..=n).collect() } else { vec![0, 1, n / 2, n - 1, n] };
            let words = told.into_iter().map(|i| {
                object! { "i" => i, "word" => chain.word(PaywordIndex(i)).expect("on the chain") }
            });
            vectors.push(object! {
                "name" => format!("{suite} n={n}"),
                "why" => "from the broker's master key to the root",
                "suite" => suite,
                "n" => n,
                "ecoin" => ecoin,
                "master" => hex(&master()),
                "hkdf_info" => hex(&info),
                "seed" => hex(&seed),
                "words" => list(words),
            });
        }
    }
    vectors
}

pub fn reaches() -> Vec<Json> {
    let mut vectors = Vec::new();
    let mut add = |name: &str, why: &str, suite: Suite, ecoin: EcoinId, i: u32, word: Payword, good: bool| {
        let root = chain(suite, ECOIN, 50).root();
        assert_eq!(reaches_root(suite, &ecoin, &root, PaywordIndex(i), &word), good, "{name}");
        vectors.push(object! {
            "name" => name, "why" => why, "suite" => suite, "ecoin" => ecoin, "root" => root, "i" => i,
            "word" => word, "reaches" => good,
        });
    };
    for suite in [Suite::Md5, Suite::Sha256] {
        let word = |i| chain(suite, ECOIN, 50).word(PaywordIndex(i)).expect("on the chain");
        add("root itself", "nought steps", suite, ECOIN, 0, word(0), true);
        add("first word", "one step", suite, ECOIN, 1, word(1), true);
        add("last word", "fifty steps", suite, ECOIN, 50, word(50), true);
        add("a position too high", "51 steps from W50", suite, ECOIN, 51, word(50), false);
        add("a position too low", "48 steps from W49 leave W1", suite, ECOIN, 48, word(49), false);
        let other = EcoinId([0xe2; 16]);
        let same = suite == Suite::Md5;
        add("another e-coin's id", "an md5 step does not know it, a sha256 step does", suite, other, 7, word(7), same);
    }
    let mut padded = *chain(Suite::Md5, ECOIN, 50).word(PaywordIndex(7)).expect("on the chain").bytes();
    padded[31] = 1;
    let why = "an md5 word is followed by 16 zero bytes and by nothing else";
    add("md5 padding", why, Suite::Md5, ECOIN, 7, Payword::unchecked(padded), false);
    vectors
}
