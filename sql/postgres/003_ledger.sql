-- The log of every conversation: number, clientMsgId and body of an event are one row of one commit.

CREATE TABLE head (
    conversation_id ident PRIMARY KEY,
    last            bigint NOT NULL,                     -- every number from 1 to it exists
    at              bigint NOT NULL                      -- time of the last event
) WITH (fillfactor = 50);

-- The last days of it; what is older lives in the message store alone.
CREATE TABLE ledger (
    day             date NOT NULL,
    kind            smallint NOT NULL,
    seq             bigint NOT NULL,
    nonce           bigint NOT NULL,                     -- the random bits of the message id
    at              bigint NOT NULL,
    batch           bigint NOT NULL,                     -- the call that brought it; the writer counts them
    xid             xid8 NOT NULL DEFAULT pg_current_xact_id(),
    conversation_id ident NOT NULL,
    sender          ident NOT NULL,
    writer          ident NOT NULL,                      -- the process that puts it into the message store
    key             text,                                -- clientMsgId
    mac             bytea,                               -- keyed hash of the plain body, when there is a key
    body            bytea NOT NULL,
    target          bigint,                              -- the message that the event changes
    version         integer,                             -- the version that the event made of it
    emoji           text,                                -- of a reaction
    is_removal      boolean,                             -- of a reaction that is taken back
    PRIMARY KEY (conversation_id, seq, day)
) PARTITION BY RANGE (day);
CREATE INDEX ledger_by_key ON ledger (conversation_id, sender, key) WHERE key IS NOT NULL;
CREATE INDEX ledger_by_target ON ledger (conversation_id, target) WHERE target IS NOT NULL;
CREATE INDEX ledger_by_batch ON ledger (writer, batch);
-- What no node may miss for long: who is in a conversation changed, or a message was deleted.
CREATE INDEX ledger_for_feed ON ledger (xid) WHERE kind IN (3, 4, 5, 7) OR (kind = 1 AND seq = 1);

-- Up to which batch, without a gap, the message store has what a process wrote.
CREATE TABLE writer (
    writer  ident PRIMARY KEY,
    stored  bigint NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now()           -- its last sign of life
) WITH (fillfactor = 50);

-- What became of a message since it was posted; written in the commit of the event that says so.
CREATE TABLE message_state (
    conversation_id ident NOT NULL,
    seq             bigint NOT NULL,
    version         integer NOT NULL DEFAULT 1,
    edited_seq      bigint,                              -- the last edit, whose body is the content
    deleted_seq     bigint,                              -- its body and those of its edits are blank
    PRIMARY KEY (conversation_id, seq)
);

CREATE TABLE reaction (
    conversation_id ident NOT NULL,
    target          bigint NOT NULL,
    username        ident NOT NULL,
    emoji           text NOT NULL,
    seq             bigint NOT NULL,                     -- the event that added it
    PRIMARY KEY (conversation_id, target, username, emoji)
);
