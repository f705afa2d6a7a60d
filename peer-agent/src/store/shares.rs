//! Files on offer, with their hash trees.

use std::path::PathBuf;

use netpay_protocol::ids::ContentId;
use rusqlite::{Row, params};

use super::{Tx, int, uint, units};
use crate::ports::{Share, Shares, StoreError, Stored};

fn share(row: &Row<'_>) -> Stored<Share> {
    Ok(Share {
        content: ContentId(row.get("content")?),
        path: PathBuf::from(row.get::<_, String>("path")?),
        name: row.get("name")?,
        size_bytes: uint(row, "size_bytes")?,
        price: units(row, "price")?,
        tags: row.get("tags")?,
        tree: row.get("tree")?,
    })
}

impl Shares for Tx<'_> {
    fn put_share(&self, share: &Share) -> Stored<()> {
        let path = share.path.to_str().ok_or_else(|| StoreError::damaged("a path that is not UTF-8"))?;
        self.run(
            "INSERT OR REPLACE INTO shares (content, path, name, size_bytes, price, tags, tree) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                share.content.0,
                path,
                share.name,
                int(share.size_bytes)?,
                int(share.price.0)?,
                share.tags,
                share.tree
            ],
        )
        .map(|_| ())
    }

    fn share(&self, content: ContentId) -> Stored<Option<Share>> {
        self.row("SELECT * FROM shares WHERE content = ?", [content.0], share)
    }

    fn shares(&self) -> Stored<Vec<Share>> {
        self.rows("SELECT * FROM shares ORDER BY name, content", [], share)
    }

    fn remove_share(&self, content: ContentId) -> Stored<bool> {
        let removed = self.run("DELETE FROM shares WHERE content = ?", [content.0])?;
        Ok(removed == 1)
    }
}
