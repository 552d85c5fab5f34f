-- Where a user wants to be told that something waits while it is away.

CREATE TABLE webhook (
    username   ident PRIMARY KEY,
    url        text NOT NULL,
    secret     text NOT NULL,                            -- signs what is sent there
    created_at bigint NOT NULL
);
