"""The first half of docs/protocol.md: what holds for all frames."""

from typing import Final

INTRODUCTION: Final = """\
# The protocol, version {version}

This page is printed from the types: `python -m protocol.catalogue > docs/protocol.md`. Change
those, not this.

## Connecting

There are two WebSocket doors, both at path `/`: chat (port 4000 unless configured) and presence
(port 4001). A token comes from `POST /api/auth/login`; it is a JWT and good for 7 days unless
configured. Hand it over at the handshake, in any one of these ways:

- the header `Authorization: Bearer TOKEN`;
- the subprotocols `chat.v1, bearer.TOKEN`, which is what a browser can do. The server only ever
  selects `chat.v1`;
- the query `?authToken=TOKEN`, which the server never logs.

Refusals come before the upgrade, as HTTP: 401 without a good token, 403 for an `Origin` that is not
on the server's list (by default the host of the request itself, localhost and 127.0.0.1, on any
port; programs that send no `Origin` are not concerned), 404 for any other path, 503 while the
server cannot read its accounts or is stopping.

The first frame on a connection is INFO. A socket whose token expires while it is open is closed
with 4401.

## Frames

A frame is one JSON object in one WebSocket text message; its `type` says which. A *request* goes to
the server, a *reply* answers one, a *push* comes unasked. The same `type` may name a request and a
push: the direction tells.

- Any request may carry `ref`. Its reply repeats it, ERROR too, so that a client may have many
  requests under way.
- The caller is who the token says. `from` may be left out of a request; anybody else's name is
  FORBIDDEN.
- Ids are strings. A message's `id` is opaque and can stand in a URL path.
- A username is 3-32 of `a-z 0-9 _ .` and begins with a letter or digit.
- A conversation is direct or a group. The `chatId` of a direct one is the two usernames in byte
  order, joined by `-`.
- Times are integer milliseconds since the Unix epoch.
- Numbers that are integers are written without point or exponent. Lengths of strings are counted in
  characters (code points) unless the table says bytes.
- Unknown fields are ignored. A field that is left out has its default. A name stands once in an
  object.

A message that is no request is answered with MALFORMED_FRAME, UNKNOWN_TYPE or INVALID_FIELD and the
connection stays open; ten in a row close it with 4502. Text that is not UTF-8 closes it with 1007.

## Order

Every event of a conversation (a message, a member who joins or leaves, the making of the group) has
a `seq`; the first is 1 and no number is left out. `prev` is the number before it, so a client that
holds `prev` has missed nothing. A connection is sent the events of a conversation in the order of
`seq`. The reply to one's own post may overtake other events. Order by `seq`; `sentAt` is for
showing.

## Who gets what

The connection that sent a request gets the reply. Every other connection of every member, the
sender's own others too, gets the push. Nobody is sent anything that is not stored, and SUCCESS for
a post means that it is.

What came while a user was away is pushed after INFO, with `offline: true`, in order, for every
conversation. Delivered is what was written before a ping that the client answered, or everything
after a clean close; one's own posts count as delivered.

## Sending again

A post with a `clientMsgId` may be repeated without harm, for 24 hours at least: the same
conversation, sender and `clientMsgId` give the first ack once more, with `duplicate: true`. With
another body it is CLIENT_MSG_ID_REUSED. After UNAVAILABLE, or a connection that broke before the
reply, send the same frame again.

## Histories

A history page is ascending and holds messages only, in their state at `headSeq`: no joins, no
leaves. `before` and `after` are numbers (`seq`) and exclusive; give one of them, or none for the
newest page. A page may be shorter than `limit` although `hasMore` is true: go on from its last (or
first) message.

## Keepalive

The server sends a WebSocket ping every 30 seconds, which every WebSocket library answers by itself.
No pong within 10 seconds closes the connection with 1011. A user is ONLINE while a connection of
theirs answers, on either door; when the last one is gone the user is OFFLINE. PING is for programs
that cannot send a WebSocket ping, such as pages in a browser.

## What may change

Within one version: new frames, new optional fields, new error and close codes, new values of a
string. So a client ignores frames and fields that it does not know, treats an unknown error code by
its `temporary`, and an unknown close code by its range. No field changes its type or meaning, none
is taken away, and requests of older releases are understood for ever. `protocol` in INFO is raised
when a client that keeps these rules would no longer work.
"""
