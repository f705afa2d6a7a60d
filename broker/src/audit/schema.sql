CREATE TABLE account (
    peer BLOB PRIMARY KEY,
    balance INTEGER NOT NULL,
    debt INTEGER NOT NULL,
    signing_key BLOB,
    opened_ms INTEGER,
    register BLOB,
    suspended_ms INTEGER,
    last_redeem_ms INTEGER NOT NULL,
    former BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE ecoin (
    id BLOB PRIMARY KEY,
    payer BLOB NOT NULL,
    n INTEGER NOT NULL,
    unit INTEGER NOT NULL,
    touchstone BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    paid INTEGER NOT NULL,
    expired_ms INTEGER,
    position INTEGER NOT NULL,
    redeem_until_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE run (
    ecoin BLOB NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    payee BLOB NOT NULL,
    granted BLOB NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (ecoin, first)
) WITHOUT ROWID;

CREATE TABLE conflict (
    ecoin BLOB NOT NULL,
    payee BLOB NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (ecoin, payee)
) WITHOUT ROWID;

CREATE TABLE debt (
    debtor BLOB NOT NULL,
    creditor BLOB NOT NULL,
    ecoin BLOB NOT NULL,
    open INTEGER NOT NULL,
    PRIMARY KEY (debtor, creditor, ecoin)
) WITHOUT ROWID;

CREATE TABLE request (
    signer BLOB NOT NULL,
    id BLOB NOT NULL,
    digest BLOB NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (signer, id)
) WITHOUT ROWID;

CREATE TABLE reference (
    name BLOB PRIMARY KEY,
    peer BLOB NOT NULL,
    amount INTEGER NOT NULL,
    position INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE payout (
    peer BLOB NOT NULL,
    request BLOB NOT NULL,
    amount INTEGER NOT NULL,
    destination TEXT NOT NULL,
    requested_ms INTEGER NOT NULL,
    settled INTEGER,
    said TEXT,
    ended_ms INTEGER,
    position INTEGER NOT NULL,
    PRIMARY KEY (peer, request)
) WITHOUT ROWID;
