-- The log of every conversation: number, clientMsgId and body of an event are one row of one commit.

CREATE TABLE head (
    conversation_id ident PRIMARY KEY,
    last            bigint NOT NULL,                     -- every number from 1 to it exists
    at              bigint NOT NULL                      -- time of the last event
) WITH (fillfactor = 50);

-- The last days of it; what is older lives in the message store alone.
CREATE TABLE ledger (
    day             date NOT NULL,
    conversation_id ident NOT NULL,
    seq             bigint NOT NULL,
    nonce           bigint NOT NULL,                     -- the random bits of the message id
    sender          ident NOT NULL,
    key             text,                                -- clientMsgId
    kind            smallint NOT NULL,
    body            bytea NOT NULL,
    mac             bytea,                               -- keyed hash of the plain body, when there is a key
    at              bigint NOT NULL,
    target          bigint,                              -- the message that the event changes
    version         integer,                             -- the version that the event made of it
    writer          ident NOT NULL,                      -- the process that puts it into the message store
    xid             xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (day, conversation_id, seq)
) PARTITION BY RANGE (day);
CREATE INDEX ledger_by_key ON ledger (conversation_id, sender, key) WHERE key IS NOT NULL;
CREATE INDEX ledger_by_target ON ledger (conversation_id, target) WHERE target IS NOT NULL;

-- Make the partitions of today and of the days to come, before they are needed.
CREATE FUNCTION make_partitions(days integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    day   date;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('chatd partitions'));
    FOR day IN SELECT today + n FROM generate_series(0, days) AS n LOOP
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS %I PARTITION OF ledger FOR VALUES FROM (%L) TO (%L)',
            'ledger_' || to_char(day, 'YYYYMMDD'), day, day + 1);
    END LOOP;
END $$;

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
