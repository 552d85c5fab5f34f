-- Accounts and what belongs to a user alone. Times are milliseconds since the epoch.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- A username is never given out again: rows of deleted accounts stay.
CREATE TABLE account (
    username      TEXT PRIMARY KEY,
    display_name  TEXT,
    password_hash TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    banned_at     INTEGER,
    valid_after   INTEGER NOT NULL DEFAULT 0,  -- tokens issued before it are revoked
    last_seen     INTEGER
) WITHOUT ROWID;

-- One row per log-in. A token whose device has no row is good; one whose row is revoked is not.
CREATE TABLE device (
    device_id          TEXT PRIMARY KEY,
    username           TEXT NOT NULL,
    created_at         INTEGER NOT NULL,
    refresh_hash       TEXT,
    refresh_expires_at INTEGER,
    revoked_at         INTEGER
) WITHOUT ROWID;
CREATE INDEX device_by_user ON device (username);

-- Both directions are stored.
CREATE TABLE friendship (
    username TEXT NOT NULL,
    friend   TEXT NOT NULL,
    since    INTEGER NOT NULL,
    PRIMARY KEY (username, friend)
) WITHOUT ROWID;
