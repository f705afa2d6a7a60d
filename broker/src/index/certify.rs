//! Whose key speaks for a supplier: the one whose hash is its id, until the broker's word on another was shown.
//!
//! Apart from announcing, because nothing here is believed of the supplier: the actor has checked the broker's signature.

use netpay_protocol::ids::PeerId;
use netpay_protocol::keys::PublicKey;
use rusqlite::{OptionalExtension as _, params};

use super::{Error, IndexStore, Refused};

impl IndexStore {
    /// Takes a supplier's key, unless a newer one is known.
    pub fn certify(&mut self, supplier: PeerId, key: &PublicKey, given_up: u32) -> Result<(), Error> {
        let others: u32 =
            self.db.query_row("SELECT COUNT(*) FROM certified WHERE supplier <> ?1", [supplier.0], |row| row.get(0))?;
        if others >= self.limits.listings_in_all {
            return Err(Refused::Full.into());
        }
        self.db.execute(
            "INSERT INTO certified VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET key = excluded.key, given_up = excluded.given_up
               WHERE excluded.given_up > certified.given_up",
            params![supplier.0, key.0, given_up],
        )?;
        Ok(())
    }

    /// Whether this key speaks for this supplier, as far as was shown here.
    pub(super) fn speaks_for(&self, supplier: PeerId, key: &PublicKey) -> Result<bool, Error> {
        let certified: Option<[u8; 32]> = self
            .db
            .query_row("SELECT key FROM certified WHERE supplier = ?1", [supplier.0], |row| row.get(0))
            .optional()?;
        Ok(certified.map_or_else(|| PeerId::of(key) == supplier, |certified| certified == key.0))
    }
}
