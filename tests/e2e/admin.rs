//! Orders that are not an operator's: unsigned, by another key, replayed, late, under another subject.

use netpay_protocol::admin::{Admin, Order};
use netpay_protocol::amounts::Units;
use netpay_protocol::ids::{BrokerId, Kid, PeerId, from_hex};
use netpay_protocol::keys::{Signature, SigningKey};
use netpay_protocol::layout::Signed;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::{subjects, wire};
use netpay_tests::processes::{Process, World};
use netpay_tests::raw_peer::{RawPeer, fresh_request, now_ms};

const ALICE: PeerId = PeerId([7; 16]);

struct Given {
    world: World,
    _broker: Process,
    peer: RawPeer,
    operator: SigningKey,
    id: BrokerId,
}

impl Given {
    async fn broker() -> Self {
        let world = World::new();
        let id = world.init_broker(&[]).parse().expect("an id");
        let broker = world.serve_broker();
        let seed = std::fs::read_to_string(world.path("broker/keys/operator.key")).expect("made by init");
        let operator = SigningKey::from_seed(&from_hex(seed.trim()).expect("hex"));
        let peer = RawPeer::connect(&world.nats_url(), id).await.expect("NATS is there");
        Self { world, _broker: broker, peer, operator, id }
    }

    fn order(&self, key: &SigningKey, order: &Order, valid_until_ms: u64) -> Signed<Admin> {
        let admin = Admin {
            broker: self.id,
            kid: Kid::of(&key.public()),
            request: fresh_request(),
            valid_until_ms,
            order: wire::encode(order),
        };
        Signed::new(admin, key)
    }

    async fn send(&self, op: &str, message: &Signed<Admin>) -> Result<(), Kind> {
        let answer = self.peer.call(subjects::admin(op), wire::encode(message)).await;
        answer.map(|_| ()).map_err(|error| error.downcast_ref::<Problem>().expect("a problem").kind)
    }

    fn balance(&self) -> u64 {
        let ended =
            self.world.run("netpay-broker", &["--json", "account", "show", &ALICE.to_string(), "--config", "broker"]);
        ended.json["balance_units"].as_u64().unwrap_or(0)
    }
}

fn credit() -> Order {
    Order::Credit { peer: ALICE, amount: Units(100), reference: "free money".into() }
}

#[tokio::test]
async fn an_order_that_no_operator_signed_is_refused() {
    let given = Given::broker().await;
    let soon = now_ms() + 60_000;
    let stranger = given.order(&SigningKey::from_seed(&[1; 32]), &credit(), soon);
    assert_eq!(given.send("credit", &stranger).await, Err(Kind::BadSignature));
    let good = given.order(&given.operator, &credit(), soon);
    let unsigned = Signed { signature: Signature([0; 64]), ..good.clone() };
    assert_eq!(given.send("credit", &unsigned).await, Err(Kind::BadSignature));
    let mut altered = good.clone();
    altered.content.order = wire::encode(&Order::Credit { peer: ALICE, amount: Units(1_000), reference: "x".into() });
    assert_eq!(given.send("credit", &altered).await, Err(Kind::BadSignature));
    assert_eq!(given.send("suspend", &good).await, Err(Kind::NotForMe), "the subject says something else");
    assert_eq!(given.balance(), 0);
    assert_eq!(given.send("credit", &good).await, Ok(()));
    assert_eq!(given.balance(), 100);
}

#[tokio::test]
async fn an_order_overheard_and_replayed_changes_nothing_and_a_late_one_is_refused() {
    let given = Given::broker().await;
    let soon = now_ms() + 60_000;
    given.send("credit", &given.order(&given.operator, &credit(), soon)).await.expect("credited");
    let suspend = given.order(&given.operator, &Order::Suspend { peer: ALICE, reason: "check".into() }, soon);
    given.send("suspend", &suspend).await.expect("suspended");
    let lift = given.order(&given.operator, &Order::Reinstate { peer: ALICE, reason: "fine".into() }, soon);
    given.send("reinstate", &lift).await.expect("reinstated");
    assert_eq!(given.send("suspend", &suspend).await, Ok(()), "the first outcome again");
    let shown = given.world.broker(&["account", "show", &ALICE.to_string()]);
    assert_eq!(shown["suspended"], false);
    let late = given.order(&given.operator, &credit(), now_ms() - 1);
    assert_eq!(given.send("credit", &late).await, Err(Kind::RequestExpired));
    let for_ever = given.order(&given.operator, &credit(), now_ms() + 48 * 3_600_000);
    assert_eq!(given.send("credit", &for_ever).await, Err(Kind::Policy));
}
