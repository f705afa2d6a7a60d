//! What searchers ask: by words, best match first, or by content id.
//!
//! Apart from announcing, because a search writes nothing. What a user types is text to be found and never a query
//! language: it reaches FTS5 as quoted strings only.

use netpay_protocol::ids::{ContentId, PeerId};
use netpay_protocol::limits::{MAX_SEARCH_BYTES, MAX_SEARCH_RESULTS};
use netpay_protocol::messages::{Announce, Hit, Hits};
use netpay_protocol::wire;
use rusqlite::{Params, params, types::Type};

use super::{Error, IndexStore, ONLINE_MS, Refused, sql};

/// A match in a name counts for more than one in tags or media type: tags are easily stuffed.
const BY_WORDS: &str = "
    SELECT l.id, l.supplier, h.at_ms >= ?1 AS online
    FROM words JOIN listing l ON l.id = words.rowid JOIN heard h ON h.supplier = l.supplier
    WHERE l.announce IS NOT NULL AND l.expires_ms > ?2 AND words MATCH ?3
    ORDER BY bm25(words, 4.0, 2.0, 1.0), online DESC, l.price_units, l.supplier, l.content";

const BY_CONTENT: &str = "
    SELECT l.id, l.supplier, h.at_ms >= ?1 AS online
    FROM listing l JOIN heard h ON h.supplier = l.supplier
    WHERE l.announce IS NOT NULL AND l.expires_ms > ?2 AND l.content = ?3
    ORDER BY online DESC, l.price_units, l.supplier";

impl IndexStore {
    /// Finds listings in which all words of `text` occur, each as a word or its beginning, in name, tags or media
    /// type; text of 64 hex digits finds that content. Best match first, then who is online, then the cheaper. Lapsed
    /// listings and suspended suppliers are left out, as if they were not there. Text without a word finds nothing.
    pub fn search(
        &self,
        text: &str,
        skip: u32,
        limit: u32,
        now_ms: u64,
        suspended: &dyn Fn(PeerId) -> bool,
    ) -> Result<Hits, Error> {
        if text.len() > MAX_SEARCH_BYTES {
            return Err(Refused::TextTooLong.into());
        }
        let page = Page { skip, limit: limit.min(MAX_SEARCH_RESULTS), suspended };
        let online_since = sql(now_ms.saturating_sub(ONLINE_MS));
        let now = sql(now_ms);
        if let Ok(content) = text.trim().parse::<ContentId>() {
            return self.page(&page, BY_CONTENT, params![online_since, now, content.0]);
        }
        match fts_query(text) {
            Some(query) => self.page(&page, BY_WORDS, params![online_since, now, query]),
            None => Ok(Hits { hits: Vec::new(), more: false }),
        }
    }

    fn page(&self, page: &Page<'_>, query: &str, params: impl Params) -> Result<Hits, Error> {
        let mut hits = Vec::new();
        let mut to_skip = page.skip;
        let mut statement = self.db.prepare_cached(query)?;
        let mut rows = statement.query(params)?;
        while let Some(row) = rows.next()? {
            if (page.suspended)(PeerId(row.get(1)?)) {
                continue;
            }
            if to_skip > 0 {
                to_skip -= 1;
                continue;
            }
            if u32::try_from(hits.len()) == Ok(page.limit) {
                return Ok(Hits { hits, more: true });
            }
            hits.push(self.hit(row.get(0)?, row.get(2)?)?);
        }
        Ok(Hits { hits, more: false })
    }

    /// Fetched one by one, so that the listings that are not answered are not sorted along.
    fn hit(&self, id: i64, online: bool) -> Result<Hit, Error> {
        let mut statement = self.db.prepare_cached("SELECT announce FROM listing WHERE id = ?1")?;
        let bytes: Vec<u8> = statement.query_row([id], |row| row.get(0))?;
        let Announce { listing, key } = wire::decode(&bytes)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Blob, Box::new(error)))?;
        Ok(Hit { listing, key, online })
    }
}

struct Page<'a> {
    skip: u32,
    limit: u32,
    suspended: &'a dyn Fn(PeerId) -> bool,
}

/// The words as quoted strings that may continue (`"wor"*`), all of which must match; `None` without any. Within the
/// quotes only the quote itself means something, and a NUL would end the query.
fn fts_query(text: &str) -> Option<String> {
    let words: Vec<_> = text
        .split(|c: char| c.is_whitespace() || c.is_control() || c == '"')
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .map(|word| format!("\"{word}\"*"))
        .collect();
    (!words.is_empty()).then(|| words.join(" AND "))
}
