//! Single values: the broker's lists, the last ledger head, what the broker already knows of us.

use std::borrow::Cow;

use rusqlite::params;

use super::Tx;
use crate::ports::{Slot, Slots, Stored};

fn name(slot: Slot) -> Cow<'static, str> {
    let name = match slot {
        Slot::KeyList => "key list",
        Slot::Revoked => "revocation list",
        Slot::Head => "ledger head",
        Slot::Incarnation => "incarnation",
        Slot::Registered => "registered",
        Slot::KnownToLedger => "known to the ledger",
        Slot::Restored => "restored, not locked",
        Slot::LockedThrough => "locked through",
        Slot::CopyChecked => "copy checked",
        Slot::ClearRemains => "clear words may remain",
        Slot::CertificateOf(peer) => return format!("certificate of {peer}").into(),
    };
    name.into()
}

impl Slots for Tx<'_> {
    fn slot(&self, slot: Slot) -> Stored<Option<Vec<u8>>> {
        self.row("SELECT value FROM slots WHERE slot = ?", [name(slot)], |row| Ok(row.get("value")?))
    }

    fn put_slot(&self, slot: Slot, value: &[u8]) -> Stored<()> {
        self.run("INSERT OR REPLACE INTO slots (slot, value) VALUES (?, ?)", params![name(slot), value]).map(|_| ())
    }
}
