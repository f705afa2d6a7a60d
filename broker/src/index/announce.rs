//! What suppliers send: listings, and their withdrawals.
//!
//! Apart from searching, because everything here comes from somebody who may cheat: what is cheap to check is checked
//! first, the signature before anything is looked up, the limits before anything is written.

use netpay_protocol::ids::{BrokerId, ContentId, PeerId};
use netpay_protocol::keys::PublicKey;
use netpay_protocol::layout::{Layout as _, Signed};
use netpay_protocol::limits::MAX_LISTING_LIFE_MS;
use netpay_protocol::listing::{Listing, Withdraw};
use netpay_protocol::messages::Announce;
use netpay_protocol::wire;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{Error, IndexStore, MAX_CLOCK_AHEAD_MS, Refused, sql};

/// What is known of a content of a supplier.
struct Known {
    id: i64,
    issued_at_ms: i64,
    announce: Option<Vec<u8>>,
}

impl IndexStore {
    /// Takes a listing. Of two for the same content of the same supplier the later counts; the very same again shows
    /// that the supplier is still there.
    pub fn announce(&mut self, signed: &Signed<Listing>, key: &PublicKey, now_ms: u64) -> Result<(), Error> {
        let listing = &signed.content;
        self.check_sender(listing.broker, listing.supplier, key)?;
        // Also what was never on a wire must be readable from the database.
        Listing::from_bytes(&listing.to_bytes()).map_err(Refused::from)?;
        if listing.expires_ms <= now_ms {
            return Err(Refused::Expired.into());
        }
        check_not_ahead(listing.issued_at_ms, now_ms)?;
        signed.verify(key).map_err(|_| Refused::BadSignature)?;

        let bytes = wire::encode(&Announce { listing: signed.clone(), key: *key });
        let limits = self.limits;
        let tx = self.db.transaction()?;
        let known = known(&tx, listing.supplier, listing.content)?;
        let added = match known {
            Some(known) if known.announce.as_ref() == Some(&bytes) => false,
            Some(known) if sql(listing.issued_at_ms) <= known.issued_at_ms => {
                return Err(Refused::Stale.into());
            }
            other => {
                let was_live = other.as_ref().is_some_and(|k| k.announce.is_some());
                if !was_live && live(&tx, listing.supplier)? >= limits.listings_per_supplier {
                    return Err(Refused::TooManyListings.into());
                }
                if other.is_none() {
                    check_room(&tx, listing.supplier, limits, self.rows)?;
                }
                put(&tx, listing, &bytes, other.as_ref())?;
                other.is_none()
            }
        };
        tx.execute(
            "INSERT INTO heard VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET at_ms = max(at_ms, excluded.at_ms)",
            params![listing.supplier.0, sql(now_ms)],
        )?;
        tx.commit()?;
        self.rows = self.rows.saturating_add(u32::from(added));
        Ok(())
    }

    /// Takes a listing out, with every one that was signed up to then. The withdrawal is remembered until none of
    /// those can be alive. The same again changes nothing.
    pub fn withdraw(&mut self, signed: &Signed<Withdraw>, key: &PublicKey, now_ms: u64) -> Result<(), Error> {
        let withdraw = &signed.content;
        self.check_sender(withdraw.broker, withdraw.supplier, key)?;
        let forget_ms = forget_ms(withdraw.issued_at_ms);
        if forget_ms <= now_ms {
            return Err(Refused::Expired.into());
        }
        check_not_ahead(withdraw.issued_at_ms, now_ms)?;
        signed.verify(key).map_err(|_| Refused::BadSignature)?;

        let limits = self.limits;
        let tx = self.db.transaction()?;
        let known = known(&tx, withdraw.supplier, withdraw.content)?;
        match &known {
            Some(known) if sql(withdraw.issued_at_ms) < known.issued_at_ms => {
                return Err(Refused::Stale.into());
            }
            Some(known) => tx.execute("DELETE FROM words WHERE rowid = ?1", [known.id])?,
            None => {
                check_room(&tx, withdraw.supplier, limits, self.rows)?;
                0
            }
        };
        tx.execute(
            "INSERT INTO listing (supplier, content, issued_at_ms, expires_ms, forget_ms, price_units)
             VALUES (?1, ?2, ?3, 0, ?4, 0)
             ON CONFLICT (supplier, content) DO UPDATE SET issued_at_ms = excluded.issued_at_ms,
               expires_ms = 0, forget_ms = excluded.forget_ms, price_units = 0, announce = NULL",
            params![withdraw.supplier.0, withdraw.content.0, sql(withdraw.issued_at_ms), sql(forget_ms)],
        )?;
        tx.commit()?;
        self.rows = self.rows.saturating_add(u32::from(known.is_none()));
        Ok(())
    }

    fn check_sender(&self, broker: BrokerId, supplier: PeerId, key: &PublicKey) -> Result<(), Error> {
        if broker != self.broker {
            return Err(Refused::OtherBroker.into());
        }
        if !self.speaks_for(supplier, key)? {
            return Err(Refused::NotTheSupplier.into());
        }
        Ok(())
    }
}

fn check_not_ahead(issued_at_ms: u64, now_ms: u64) -> Result<(), Refused> {
    if issued_at_ms > now_ms.saturating_add(MAX_CLOCK_AHEAD_MS) {
        return Err(Refused::FromTheFuture);
    }
    Ok(())
}

/// When no listing signed up to `issued_at_ms` can be alive.
fn forget_ms(issued_at_ms: u64) -> u64 {
    issued_at_ms.saturating_add(MAX_LISTING_LIFE_MS)
}

fn known(tx: &Transaction<'_>, supplier: PeerId, content: ContentId) -> rusqlite::Result<Option<Known>> {
    tx.query_row(
        "SELECT id, issued_at_ms, announce FROM listing WHERE supplier = ?1 AND content = ?2",
        params![supplier.0, content.0],
        |row| Ok(Known { id: row.get(0)?, issued_at_ms: row.get(1)?, announce: row.get(2)? }),
    )
    .optional()
}

fn live(tx: &Transaction<'_>, supplier: PeerId) -> rusqlite::Result<u32> {
    tx.query_row("SELECT COUNT(*) FROM listing WHERE supplier = ?1 AND announce IS NOT NULL", [supplier.0], |row| {
        row.get(0)
    })
}

/// Whether one more (supplier, content) may be remembered.
fn check_room(tx: &Transaction<'_>, supplier: PeerId, limits: super::Limits, rows: u32) -> Result<(), Error> {
    let of_supplier: u32 =
        tx.query_row("SELECT COUNT(*) FROM listing WHERE supplier = ?1", [supplier.0], |row| row.get(0))?;
    if of_supplier >= limits.listings_per_supplier.saturating_mul(2) {
        return Err(Refused::TooManyListings.into());
    }
    if rows >= limits.listings_in_all {
        return Err(Refused::Full.into());
    }
    Ok(())
}

fn put(tx: &Transaction<'_>, listing: &Listing, bytes: &[u8], known: Option<&Known>) -> rusqlite::Result<()> {
    if let Some(known) = known {
        tx.execute("DELETE FROM words WHERE rowid = ?1", [known.id])?;
    }
    let id: i64 = tx.query_row(
        "INSERT INTO listing
           (supplier, content, issued_at_ms, expires_ms, forget_ms, price_units, announce)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (supplier, content) DO UPDATE SET issued_at_ms = excluded.issued_at_ms,
           expires_ms = excluded.expires_ms, forget_ms = excluded.forget_ms,
           price_units = excluded.price_units, announce = excluded.announce
         RETURNING id",
        params![
            listing.supplier.0,
            listing.content.0,
            sql(listing.issued_at_ms),
            sql(listing.expires_ms),
            sql(forget_ms(listing.issued_at_ms)),
            sql(listing.price_units.0),
            bytes,
        ],
        |row| row.get(0),
    )?;
    tx.execute(
        "INSERT INTO words (rowid, name, tags, media_type) VALUES (?1, ?2, ?3, ?4)",
        params![id, listing.name, listing.tags, listing.media_type],
    )?;
    Ok(())
}
