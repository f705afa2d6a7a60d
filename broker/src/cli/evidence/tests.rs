//! The command against the protocol's vectors, files that are no evidence, and what it finds in a ledger.

use netpay_ledger::command::{Request, Rotation};
use netpay_ledger::{Action, Command};
use netpay_protocol::ids::from_hex;
use netpay_protocol::key_list::KeyList;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::register::{Register, RotateKeys};

use super::*;
use crate::cli::told::tests::stored;
use crate::cli::told::tests::world::{BROKER, World, ecoin, key, peer};

/// Mallory buys an e-coin and spends W1..W3 of it with Bob and with Carol. `with` signs for her.
fn double_spend(world: &mut World, with: &str) {
    world.credit("mallory", 10);
    let mut command = world.purchase("mallory", &["coin"], 10, Default::default());
    let Action::BuyEcoins { order, signed_by, touchstones, .. } = &mut command.action else { panic!("a purchase") };
    **order = Signed::new(order.content.clone(), &key(with));
    *signed_by = key(with).public();
    touchstones[0].content.payer_key = key(with).public();
    touchstones[0] = Signed::new(touchstones[0].content.clone(), &key("broker"));
    world.execute(command).expect("a good purchase");
    for payee in ["bob", "carol"] {
        let mut claim = world.claim("coin", (1, 4, 3), payee);
        claim.index = Signed::new(claim.index.content, &key(with));
        world.redeem(payee, vec![claim]);
    }
}

fn rotate(world: &mut World, from: &str, to: &str) {
    let old = world.opening("mallory").register().content.clone();
    let register = Signed::new(Register { signing_key: key(to).public(), ..old }, &key(to));
    let order = RotateKeys {
        broker: BROKER,
        peer: peer("mallory"),
        request: world.fresh(),
        valid_until_ms: world.now_ms + 1,
        register: register.content.digest(),
    };
    let request = Some(Request { signer: order.peer, id: order.request, digest: order.digest() });
    let rotation = Rotation::check(Signed::new(order, &key(from)), register, key(from).public());
    let action = Action::RotatePeerKeys(Box::new(rotation.expect("good keys")));
    world.execute(Command { request, action }).expect("signed with the present key");
}

fn found(world: &World) -> anyhow::Result<Evidence> {
    let list = KeyList { broker: BROKER, incarnation: 1, seq: 1, issued_at_ms: 1, next_at_ms: 1, keys: vec![] };
    let keys = SignedKeyList { root: key("root").public(), list: Signed::new(list, &key("root")) };
    let (_dir, store) = stored(world.ledger.records());
    recorded(&store, keys, &DoubleSpendKey { ecoin: ecoin("coin"), payee: peer("carol") })
}

#[test]
fn both_grants_are_put_together_again_as_the_payer_signed_them() {
    let mut world = World::new();
    let error = found(&world).expect_err("nothing yet");
    assert_eq!(crate::cli::exit_code(&error), 3, "{error}");
    double_spend(&mut world, "mallory");
    let evidence = found(&world).expect("recorded");
    let t = &evidence.touchstone.content;
    assert!(evidence.first.verify_under(t).is_ok() && evidence.second.verify_under(t).is_ok());
    assert_eq!((evidence.first.content.payee, evidence.second.content.payee), (peer("bob"), peer("carol")));
    assert_eq!(evidence.succession, None);
}

#[test]
fn a_rotated_payers_changes_of_keys_are_found_in_the_log() {
    let mut world = World::new();
    world.bought("mallory", "earlier", 1);
    rotate(&mut world, "mallory", "second");
    rotate(&mut world, "second", "third");
    double_spend(&mut world, "third");
    rotate(&mut world, "third", "fourth");
    let evidence = found(&world).expect("recorded");
    let succession = evidence.succession.expect("her keys were changed");
    assert_eq!(succession.last_key(BROKER, peer("mallory")), Some(key("third").public()));
    assert_eq!(succession.changes.len(), 2, "what came later is not needed");
}

fn bytes(hex: &str) -> Vec<u8> {
    let pair = |pair: &[u8]| from_hex::<1>(std::str::from_utf8(pair).expect("ASCII")).expect("hex")[0];
    hex.as_bytes().chunks(2).map(pair).collect()
}

/// Every case of the protocol's vectors, as the command tells it.
#[test]
fn the_command_says_of_each_vector_what_its_file_says() {
    let file = include_str!("../../../../protocol/test-data/vectors/evidence.json");
    let file: Value = serde_json::from_str(file).expect("JSON");
    let vectors = file["vectors"].as_array().expect("a list");
    assert!(vectors.len() >= 20);
    for v in vectors {
        let text = |field: &str| v[field].as_str().expect("text").to_owned();
        let said = verdict(&bytes(&text("cbor")), text("pinned").parse().expect("an id"));
        let (good, error) = (text("error") == "none", text("error"));
        assert_eq!((said.code == 0, said.json["ok"] == true), (good, good), "{}: {}", v["name"], said.text);
        if good {
            assert!(said.text.starts_with("proven: payer"), "{}", said.text);
            assert_eq!((&said.json["payer"], &said.json["through"]), (&v["payer"], &v["through"]));
        } else {
            assert_eq!((said.code, said.json["reason"].as_str()), (7, Some(error.as_str())), "{}", said.text);
            assert!(said.text.starts_with("not proven: "), "{}", said.text);
        }
        // Only the broker's part may be missing where the payer's is said to stand.
        let stays = good || ["revoked", "unlisted", "touchstone"].contains(&error.as_str());
        assert_eq!(said.json["payer_signed_both"], stays, "{}", v["name"]);
    }
}

#[test]
fn what_is_no_evidence_proves_nothing() {
    let pinned = BrokerId([1; 16]);
    for bytes in [vec![], b"hello".to_vec(), vec![0xa4], vec![0; MAX_MESSAGE_BYTES + 1]] {
        let said = verdict(&bytes, pinned);
        assert_eq!((said.code, &said.json["reason"]), (7, &"malformed".into()));
    }
    let missing = Verify { file: "/nowhere/evidence".into(), broker: pinned }.run();
    assert_eq!(crate::cli::exit_code(&missing.err().expect("no such file")), 3);
}

#[test]
fn evidence_is_not_written_over_a_file_that_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("evidence");
    write_new(&path, b"one").expect("a new file");
    let error = write_new(&path, b"two").expect_err("it is there");
    assert!(error.to_string().contains("nothing was changed"), "{error}");
    assert_eq!(read(&path).expect("readable"), b"one");
}
