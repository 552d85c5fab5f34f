-- Conversations and who is in them.

CREATE TABLE conversation (
    conversation_id TEXT PRIMARY KEY,
    kind            TEXT NOT NULL CHECK (kind IN ('direct', 'group')),
    name            TEXT,
    is_open         INTEGER NOT NULL DEFAULT 0,      -- anyone may join
    history         TEXT NOT NULL DEFAULT 'joined' CHECK (history IN ('joined', 'all')),
    created_by      TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    member_count    INTEGER NOT NULL
) WITHOUT ROWID;

-- A member who leaves loses the row. `delivered` and `read` only move forward.
CREATE TABLE member (
    conversation_id TEXT NOT NULL,
    username        TEXT NOT NULL,
    role            TEXT NOT NULL CHECK (role IN ('ADMIN', 'MEMBER')),
    joined_seq      INTEGER NOT NULL,                -- the event that made the user a member; 0 in a direct one
    delivered       INTEGER NOT NULL,
    read            INTEGER NOT NULL,
    has_written     INTEGER NOT NULL DEFAULT 0,      -- direct ones: both having written makes them friends
    PRIMARY KEY (conversation_id, username)
) WITHOUT ROWID;
CREATE INDEX member_by_user ON member (username, conversation_id);
