-- Messages that were changed, groups that were renamed, blocks, and what waits for the absent.

ALTER TABLE conversation ADD COLUMN topic TEXT;
ALTER TABLE conversation ADD COLUMN avatar_url TEXT;

ALTER TABLE ledger ADD COLUMN target INTEGER;        -- the message that the event changes
ALTER TABLE ledger ADD COLUMN version INTEGER;       -- the version that the event made of it
CREATE INDEX ledger_by_target ON ledger (conversation_id, target) WHERE target IS NOT NULL;

-- What became of a message since it was posted; written in the commit of the event that says so.
CREATE TABLE message_state (
    conversation_id TEXT NOT NULL,
    seq             INTEGER NOT NULL,
    version         INTEGER NOT NULL DEFAULT 1,
    edited_seq      INTEGER,                         -- the last edit, whose body is the content
    deleted_seq     INTEGER,                         -- its body and those of its edits are blank
    PRIMARY KEY (conversation_id, seq)
) WITHOUT ROWID;

CREATE TABLE reaction (
    conversation_id TEXT NOT NULL,
    target          INTEGER NOT NULL,
    username        TEXT NOT NULL,
    emoji           TEXT NOT NULL,
    seq             INTEGER NOT NULL,                -- the event that added it
    PRIMARY KEY (conversation_id, target, username, emoji)
) WITHOUT ROWID;

CREATE TABLE block (
    username TEXT NOT NULL,
    blocked  TEXT NOT NULL,
    since    INTEGER NOT NULL,
    PRIMARY KEY (username, blocked)
) WITHOUT ROWID;

-- Ranges of events that came while a user was away. Never the truth of what is missing: that is the
-- head against the delivered cursor.
CREATE TABLE mailbox (
    username        TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    first           INTEGER NOT NULL,
    last            INTEGER NOT NULL,
    PRIMARY KEY (username, conversation_id)
) WITHOUT ROWID;

ALTER TABLE device ADD COLUMN name TEXT;             -- as the user calls it
