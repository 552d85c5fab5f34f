-- Where a user wants to be told that something waits while it is away.

CREATE TABLE webhook (
    username   TEXT PRIMARY KEY,
    url        TEXT NOT NULL,
    secret     TEXT NOT NULL,                        -- signs what is sent there
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
