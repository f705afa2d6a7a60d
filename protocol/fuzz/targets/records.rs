//! The ledger's records, as replay, a follower or an auditor reads them. A record names what it follows, so the head
//! that it must follow is taken from itself: the rest of the reader is reached.

#![no_main]

use libfuzzer_sys::fuzz_target;
use netpay_ledger::Record;
use netpay_protocol::redemption::Head;

fuzz_target!(|bytes: &[u8]| {
    let Ok(said) = minicbor::decode::<Record>(bytes) else {
        assert!(Record::read(bytes, Head::default()).is_err());
        return;
    };
    let before = Head { position: said.position.saturating_sub(1), hash: said.prev_hash };
    if before.position == u64::MAX - 1 {
        return;
    }
    if let Ok((record, head)) = Record::read(bytes, before) {
        assert_eq!(record.to_bytes(), bytes);
        assert_eq!(record.head(), head);
    }
});
