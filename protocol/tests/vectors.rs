//! The files of vectors are what the code makes, and what they say is what the code does.
//!
//! The second half reads the files alone and drives decoders and checks with them, so that a wrong vector cannot pass
//! by being made by the same mistake.

#[path = "../examples/vectors/sets/mod.rs"]
mod sets;
mod vector_files;

use netpay_protocol::amounts::PaywordIndex;
use netpay_protocol::certificate::{Certificate, NotCertified};
use netpay_protocol::chain::{reaches, reaches_root};
use netpay_protocol::evidence::Evidence;
use netpay_protocol::ids::{BrokerId, Digest, Kid, PeerId};
use netpay_protocol::key_list::{Purpose, SignedKeyList};
use netpay_protocol::keys::SigningKey;
use netpay_protocol::layout::{Layout, Signed};
use netpay_protocol::redemption::{NotTheAnswer, RedemptionBatch, Statement};
use netpay_protocol::register::{NotRotated, Refused, Register};
use netpay_protocol::revocation::RevocationList;
use netpay_protocol::sealing::{Purchase, SealingKey};
use netpay_protocol::suite::Payword;
use netpay_protocol::touchstone::Touchstone;
use netpay_protocol::wire;
use vector_files::{Vector, decode_layout, decode_message, vectors};

#[test]
fn every_file_is_byte_for_byte_what_the_code_makes() {
    for (path, text) in sets::files() {
        let held = std::fs::read_to_string(&path).expect("a file of vectors");
        assert!(held == text, "{} differs; the bytes of version 1 are frozen (spec/24-versions.md)", path.display());
    }
}

#[test]
fn no_two_malformed_vectors_have_one_name() {
    let mut names = std::collections::BTreeSet::new();
    for v in vectors("malformed") {
        assert!(names.insert(v.name().to_owned()), "{} stands twice", v.name());
    }
}

#[test]
fn no_frozen_line_of_version_1_has_changed() {
    let held = std::fs::read_to_string(sets::frozen_file()).expect("the frozen page");
    let page = sets::frozen::page();
    for line in held.lines() {
        assert!(page.lines().any(|kept| kept == line), "frozen, and no longer so: {line}");
    }
    assert!(held == page, "there are new lines: run the example `vectors` with --write");
}

#[test]
fn every_layout_is_read_signed_and_digested_as_its_vector_says() {
    for v in vectors("layouts") {
        let bytes = v.bytes("layout");
        assert_eq!(decode_layout(v.text("what"), &bytes), Ok(bytes.clone()), "{}", v.name());
        let key = SigningKey::from_seed(&v.fixed("key_seed"));
        assert_eq!(key.public().0, v.fixed("key"), "{}", v.name());
        assert_eq!(key.sign(&bytes).0.to_vec(), v.bytes("signature"), "{}", v.name());
        assert_eq!(Digest::sha256(&bytes).0, v.fixed("digest"), "{}", v.name());
        let cbor = v.bytes("cbor");
        let (head, tail) = (cbor.len() - 67 - bytes.len(), cbor.len() - 67);
        assert_eq!((&cbor[head..tail], &cbor[tail..tail + 3]), (bytes.as_slice(), &[1, 0x58, 64][..]), "{}", v.name());
    }
}

#[test]
fn every_message_is_read_and_written_back_and_cut_short_it_is_not() {
    for v in vectors("messages") {
        let bytes = v.bytes("cbor");
        assert_eq!(decode_message(v.text("message"), &bytes), Ok(bytes.clone()), "{}", v.name());
        assert!(decode_message(v.text("message"), &bytes[..bytes.len() - 1]).is_err(), "{}", v.name());
    }
}

#[test]
fn every_malformed_vector_gets_its_error() {
    for v in vectors("malformed") {
        let zeros = v.number("zero_bytes").map(|n| vec![0; usize::try_from(n).expect("small")]);
        let bytes = zeros.unwrap_or_else(|| v.bytes("bytes"));
        let result = match v.text("form") {
            "layout" => decode_layout(v.text("what"), &bytes),
            _ => decode_message(v.text("what"), &bytes),
        };
        assert_eq!(result.expect_err(v.name()), v.text("error"), "{}", v.name());
    }
}

#[test]
fn keys_and_signatures_at_the_edges_are_taken_as_zip_215_says() {
    for v in vectors("zip215") {
        let key = netpay_protocol::keys::PublicKey(v.fixed("key"));
        let good = match v.text("check") {
            "registrable" => key.check_registrable().is_ok(),
            _ => {
                let signature = netpay_protocol::keys::Signature(v.fixed("signature"));
                key.verify(&v.bytes("message"), &signature).is_ok()
            }
        };
        assert_eq!(good, v.flag("good"), "{}", v.name());
    }
}

#[test]
fn steps_chains_and_words_are_those_of_the_files() {
    let word = |v: &Vector, field: &str| Payword::unchecked(v.fixed(field));
    for v in vectors("steps") {
        let i = PaywordIndex(v.small("i"));
        let upper = word(&v, "word_i");
        assert_eq!(v.suite().step(&v.ecoin(), i, &upper), word(&v, "word_i_minus_1"), "{}", v.name());
    }
    for v in vectors("chains") {
        let words = v.list("words");
        for pair in words.windows(2) {
            let [low, high] = pair else { continue };
            let at = |v: &Vector| PaywordIndex(v.small("i"));
            let (lower, upper) = (word(low, "word"), word(high, "word"));
            assert!(reaches(v.suite(), &v.ecoin(), (at(low), &lower), (at(high), &upper)), "{}", v.name());
        }
    }
    for v in vectors("reaches") {
        let (root, upper) = (word(&v, "root"), word(&v, "word"));
        let good = reaches_root(v.suite(), &v.ecoin(), &root, PaywordIndex(v.small("i")), &upper);
        assert_eq!(good, v.flag("reaches"), "{}", v.name());
    }
}

#[test]
fn sealed_words_open_or_not_as_their_vector_says() {
    for v in vectors("sealing") {
        let key = SealingKey::from_der(&v.bytes("private_key_pkcs8")).expect("a key");
        let aad = v.bytes("additional_data");
        let id = |at: usize| -> [u8; 16] { aad[at..at + 16].try_into().expect("16 bytes") };
        let at = aad.len() - 48;
        let request = netpay_protocol::ids::RequestId(id(at + 32));
        let purchase = Purchase { broker: BrokerId(id(at)), payer: PeerId(id(at + 16)), request };
        let layout = if v.flag("opens") { v.object("sealed").bytes("layout") } else { v.bytes("layout") };
        let sealed = netpay_protocol::buy::SealedPaywords::from_bytes(&layout).expect("a layout");
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let opened = key.open(purchase, &sealed, &mut rng).ok().map(|words| {
            words.iter().flat_map(|(ecoin, word)| [&ecoin.0[..], word.bytes()].concat()).collect::<Vec<u8>>()
        });
        let plain = if v.flag("opens") { Some(v.bytes("plaintext")) } else { None };
        assert_eq!(opened, plain, "{}", v.name());
    }
}

#[test]
fn lists_are_believed_and_keys_found_as_the_files_say() {
    for v in vectors("lists") {
        let pinned = BrokerId(v.fixed("pinned"));
        let list = |field| wire::decode::<SignedKeyList>(&v.bytes(field)).expect("a list").verify(pinned);
        let good = match v.text("check") {
            "key_list" => list("cbor").is_ok(),
            "find" => {
                let purpose = [Purpose::Touchstone, Purpose::Statement, Purpose::Notice]
                    [usize::try_from(v.small("purpose") - 1).expect("small")];
                let keys = list("cbor").expect("good");
                keys.find(Kid(v.fixed("kid")), purpose, v.number("at_ms").expect("a time")).is_some()
            }
            _ => {
                let revoked: Signed<RevocationList> = wire::decode(&v.bytes("cbor")).expect("a list");
                // The clock is the reader's: the crate has none, a peer agent's own test holds its code against these.
                let latest = v.number("now_ms").expect("a time") + 5 * 60 * 1_000;
                let keys = list("keys").expect("good");
                revoked.verify_by(&keys).is_ok_and(|list| list.issued_at_ms <= latest)
            }
        };
        assert_eq!(good, v.flag("good"), "{}", v.name());
    }
}

#[test]
fn registrations_are_refused_for_the_reason_that_the_files_give() {
    for v in vectors("registrations") {
        let register: Signed<Register> = wire::decode(&v.bytes("cbor")).expect("a registration");
        let error = match register.check(BrokerId(v.fixed("broker"))) {
            Ok(peer) => {
                assert_eq!(peer.0, v.fixed("peer"));
                "none"
            }
            Err(why) => refused(&why),
        };
        assert_eq!(error, v.text("error"), "{}", v.name());
    }
}

fn refused(why: &Refused) -> &'static str {
    match why {
        Refused::Broker => "broker",
        Refused::Signature => "signature",
        Refused::Key(_) => "key",
        Refused::SealingKey(_) => "sealing_key",
        Refused::SharedKey => "shared_key",
    }
}

#[test]
fn certificates_are_believed_and_rotations_taken_as_the_files_say() {
    for v in vectors("certificates") {
        let error = match v.text("check") {
            "rotation" => {
                let message: netpay_protocol::messages::Rotate = wire::decode(&v.bytes("cbor")).expect("a rotation");
                match message.order.check(&message.register) {
                    Ok(()) => "none",
                    Err(NotRotated::OtherKeys) => "other_keys",
                    Err(NotRotated::Register(why)) => refused(&why),
                }
            }
            _ => {
                let keys: SignedKeyList = wire::decode(&v.bytes("keys")).expect("a list");
                let keys = keys.verify(BrokerId(v.fixed("pinned"))).expect("the broker's");
                let certificate: Signed<Certificate> = wire::decode(&v.bytes("cbor")).expect("a certificate");
                match certificate.key_of(PeerId(v.fixed("peer")), &keys) {
                    Ok(key) => {
                        assert_eq!(key, certificate.content.signing_key);
                        "none"
                    }
                    Err(NotCertified::Broker) => "broker",
                    Err(NotCertified::Peer) => "peer",
                    Err(NotCertified::Signature) => "signature",
                }
            }
        };
        assert_eq!(error, v.text("error"), "{}", v.name());
    }
}

#[test]
fn evidence_proves_what_the_files_say_or_fails_for_their_reason() {
    for v in vectors("evidence") {
        let evidence: Evidence = wire::decode(&v.bytes("cbor")).expect("evidence");
        let error = match evidence.verify(BrokerId(v.fixed("pinned"))) {
            Ok(proven) => {
                assert_eq!((proven.payer.0, proven.ecoin.0), (v.fixed("payer"), v.fixed("ecoin")), "{}", v.name());
                assert_eq!((proven.first.0, proven.second.0), (v.fixed("first"), v.fixed("second")), "{}", v.name());
                let words = (proven.words.from.0, proven.words.through.0);
                assert_eq!(words, (v.small("from"), v.small("through")), "{}", v.name());
                "none"
            }
            Err(unproven) => unproven.name(),
        };
        assert_eq!(error, v.text("error"), "{}", v.name());
    }
}

#[test]
fn statements_answer_their_batch_or_not_as_the_files_say() {
    for v in vectors("statements") {
        let batch = RedemptionBatch::from_bytes(&v.bytes("batch")).expect("a batch");
        let statement = Statement::from_bytes(&v.bytes("statement")).expect("a statement");
        let error = match statement.answers(&batch) {
            Ok(()) => "none",
            Err(NotTheAnswer::Another) => "another",
            Err(NotTheAnswer::Lines) => "lines",
            Err(NotTheAnswer::Counts) => "counts",
        };
        assert_eq!(error, v.text("error"), "{}", v.name());
    }
}

#[test]
fn the_papers_words_are_paid_to_each_supplier_once() {
    let [ecoin, first, second, _, redeemed] = vectors("paper").try_into().ok().expect("five vectors");
    let t = Touchstone::from_bytes(&ecoin.object("touchstone").bytes("layout")).expect("a touchstone");
    let told = |v: &Vector| (v.small("price_words"), v.small("next_unspent_index"));
    assert_eq!((told(&first), told(&second)), ((3, 4), (2, 6)));
    for payment in [&first, &second] {
        let last = payment.list("words").pop().expect("a word");
        let word = Payword::unchecked(last.fixed("word"));
        assert!(reaches_root(t.suite, &t.ecoin, &t.root, PaywordIndex(last.small("i")), &word));
        let shown = last.text("paper").to_owned();
        assert!(shown.len() == 32 && last.text("word").starts_with(&shown));
    }
    let statement = Statement::from_bytes(&redeemed.object("statement").bytes("layout")).expect("a statement");
    let batch = RedemptionBatch::from_bytes(&redeemed.object("batch").bytes("layout")).expect("a batch");
    assert_eq!(statement.answers(&batch), Ok(()));
    assert_eq!(batch.claims[0].index.verify_under(&t), Ok(()));
    assert_eq!(statement.lines[0].credited.0, 2, "SP2 claims index 6 and is paid W4 and W5 only");
}
