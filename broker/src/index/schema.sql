-- The index's tables. Soft state: another version of them is dropped, not migrated.
DROP TABLE IF EXISTS words;
DROP TABLE IF EXISTS listing;
DROP TABLE IF EXISTS heard;
DROP TABLE IF EXISTS certified;

-- The latest listing or withdrawal for each content of each supplier.
CREATE TABLE listing (
    id            INTEGER PRIMARY KEY,
    supplier      BLOB NOT NULL,
    content       BLOB NOT NULL,
    issued_at_ms  INTEGER NOT NULL,
    expires_ms    INTEGER NOT NULL,
    forget_ms     INTEGER NOT NULL,  -- when nothing issued up to issued_at_ms can be alive any more
    price_units   INTEGER NOT NULL,  -- to sort by; the listing has it exactly
    announce      BLOB,              -- as it came; NULL when withdrawn or lapsed
    UNIQUE (supplier, content)
);
CREATE INDEX listing_by_content ON listing (content);
CREATE INDEX listing_alive ON listing (supplier) WHERE announce IS NOT NULL;
CREATE INDEX listing_by_expiry ON listing (expires_ms) WHERE announce IS NOT NULL;
CREATE INDEX listing_by_forget ON listing (forget_ms);

-- What a listing is found by; rowid = listing.id. Holds no text, only the words' places.
CREATE VIRTUAL TABLE words USING fts5 (
    name, tags, media_type,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);

-- When a supplier was last heard of.
CREATE TABLE heard (supplier BLOB PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;

-- Whose key is no longer its first, by the broker's word; the newest.
CREATE TABLE certified (supplier BLOB PRIMARY KEY, key BLOB NOT NULL, given_up INTEGER NOT NULL) WITHOUT ROWID;
