-- The log of every conversation. Number, clientMsgId and body of an event are one row of one commit.

CREATE TABLE head (
    conversation_id TEXT PRIMARY KEY,
    last            INTEGER NOT NULL,                -- every number from 1 to it exists
    at              INTEGER NOT NULL                 -- time of the last event
) WITHOUT ROWID;

CREATE TABLE ledger (
    conversation_id TEXT NOT NULL,
    seq             INTEGER NOT NULL,
    nonce           INTEGER NOT NULL,                -- the random bits of the message id
    sender          TEXT NOT NULL,
    key             TEXT,                            -- clientMsgId
    kind            INTEGER NOT NULL,
    body            BLOB NOT NULL,
    mac             BLOB,                            -- keyed hash of the plain body, when there is a key
    at              INTEGER NOT NULL,
    PRIMARY KEY (conversation_id, seq)
);  -- with rowids: bodies are appended to one place, and only small index pages are written per conversation
CREATE UNIQUE INDEX ledger_by_key ON ledger (conversation_id, sender, key) WHERE key IS NOT NULL;
