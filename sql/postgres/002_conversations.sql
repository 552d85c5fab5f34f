-- Conversations and who is in them.

CREATE TABLE conversation (
    conversation_id ident PRIMARY KEY,
    kind            text NOT NULL CHECK (kind IN ('direct', 'group')),
    name            text,
    topic           text,
    avatar_url      text,
    is_open         boolean NOT NULL DEFAULT false,      -- anyone may join
    history         text NOT NULL DEFAULT 'joined' CHECK (history IN ('joined', 'all')),
    created_by      ident NOT NULL,
    created_at      bigint NOT NULL,
    member_count    integer NOT NULL
);
-- Groups are few beside direct conversations, and are listed when a name filter is built.
CREATE INDEX conversation_group ON conversation (conversation_id) WHERE kind = 'group';

-- A member who leaves loses the row. `delivered` and `read` only move forward.
CREATE TABLE member (
    conversation_id ident NOT NULL,
    username        ident NOT NULL,
    role            text NOT NULL CHECK (role IN ('ADMIN', 'MEMBER')),
    joined_seq      bigint NOT NULL,                     -- the event that made the user a member; 0 in a direct one
    delivered       bigint NOT NULL,
    read            bigint NOT NULL,
    has_written     boolean NOT NULL DEFAULT false,      -- direct ones: both having written makes them friends
    PRIMARY KEY (conversation_id, username)
) WITH (fillfactor = 80);
CREATE INDEX member_by_user ON member (username, conversation_id);

-- Ranges of events that came while a user was away. Never the truth of what is missing: that is the
-- head against the delivered cursor.
CREATE TABLE mailbox (
    username        ident NOT NULL,
    conversation_id ident NOT NULL,
    first           bigint NOT NULL,
    last            bigint NOT NULL,
    PRIMARY KEY (username, conversation_id)
);
