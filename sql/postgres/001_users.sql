-- Accounts and what belongs to a user alone. Times are milliseconds since the epoch.

-- Names and ids sort by bytes, on every machine.
CREATE DOMAIN ident AS text COLLATE "C";

CREATE TABLE meta (
    key   text PRIMARY KEY,
    value text NOT NULL
);

-- A username is never given out again: rows of deleted accounts stay.
CREATE TABLE account (
    username      ident PRIMARY KEY,
    display_name  text,
    password_hash text NOT NULL,
    created_at    bigint NOT NULL,
    banned_at     bigint,
    valid_after   bigint NOT NULL DEFAULT 0,     -- tokens issued before it are revoked
    last_seen     bigint
);

-- One row per log-in. A token whose device has no row is good; one whose row is revoked is not.
CREATE TABLE device (
    device_id          ident PRIMARY KEY,
    username           ident NOT NULL,
    created_at         bigint NOT NULL,
    refresh_hash       text,
    refresh_expires_at bigint,
    revoked_at         bigint,
    name               text                      -- as the user calls it
);
CREATE INDEX device_by_user ON device (username);
CREATE UNIQUE INDEX device_by_refresh ON device (refresh_hash) WHERE refresh_hash IS NOT NULL;

-- Both directions are stored.
CREATE TABLE friendship (
    username ident NOT NULL,
    friend   ident NOT NULL,
    since    bigint NOT NULL,
    PRIMARY KEY (username, friend)
);

CREATE TABLE block (
    username ident NOT NULL,
    blocked  ident NOT NULL,
    since    bigint NOT NULL,
    PRIMARY KEY (username, blocked)
);

-- Whether one of two users has blocked the other. Not in SQL: that would be parsed again by every call.
CREATE FUNCTION is_blocked(one ident, other ident) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM block WHERE (username = one AND blocked = other)
                                          OR (username = other AND blocked = one));
END $$;

-- What every node must hear of within a second or two, written in the commit of what it tells; the bus
-- tells first. Old ones are thrown away.
CREATE TABLE notice (
    kind      text NOT NULL CHECK (kind IN ('revoked', 'parted')),
    username  ident NOT NULL,
    device_id ident,                                 -- revoked: one device, or all
    besides   ident,                                 -- revoked: a device that stays
    other     ident,                                 -- parted: one of the two has blocked the other
    at        timestamptz NOT NULL DEFAULT now(),
    xid       xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX notice_for_feed ON notice (xid);
