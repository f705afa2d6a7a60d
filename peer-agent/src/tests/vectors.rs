//! What the protocol's vectors promise strangers of a peer is what this peer does. Reads the files alone.

#[path = "../../../protocol/tests/vector_files/mod.rs"]
pub(crate) mod vector_files;

use netpay_protocol::ids::{BrokerId, ContentId, PeerId};
use netpay_protocol::wire;
use vector_files::{Vector, vectors};

use crate::getting::ticket::{NotATicket, Ticket};
use crate::store::Store;
use crate::wallet::broker_lists;

#[test]
fn tickets_are_written_and_read_as_the_file_says() {
    for v in vectors("tickets") {
        let read = v.text("text").parse::<Ticket>();
        let error = match &read {
            Ok(ticket) => {
                assert_eq!(*ticket, ticket_of(&v), "{}", v.name());
                assert_eq!(ticket.to_string(), v.text("text"), "{}", v.name());
                "none"
            }
            Err(NotATicket::Prefix) => "prefix",
            Err(NotATicket::Damaged) => "damaged",
            Err(NotATicket::Version(_)) => "version",
        };
        assert_eq!(error, v.text("error"), "{}", v.name());
    }
}

fn ticket_of(v: &Vector) -> Ticket {
    Ticket {
        content: ContentId(v.fixed("content")),
        supplier: PeerId(v.fixed("supplier")),
        size_bytes: v.number("size_bytes"),
        price: v.number("price_units").map(netpay_protocol::amounts::Units),
        name: (!v.is_null("file_name")).then(|| v.text("file_name").to_owned()),
    }
}

#[test]
fn revocation_lists_are_taken_at_the_time_that_the_file_says() {
    for v in vectors("lists").iter().filter(|v| v.text("check") == "revoked") {
        let broker = BrokerId(v.fixed("pinned"));
        let keys = wire::decode(&v.bytes("keys")).expect("a key list");
        let list = wire::decode(&v.bytes("cbor")).expect("a revocation list");
        let store = Store::in_memory().expect("memory");
        let taken = store.write(|tx| {
            assert!(broker_lists::take_keys(tx, broker, &keys).expect("taken"));
            broker_lists::take_revoked(tx, broker, &list, v.number("now_ms").expect("a time"))
        });
        assert_eq!(taken.is_ok_and(|new| new), v.flag("good"), "{}", v.name());
    }
}
