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

With `?resume=1` in the URL the client says that it will ask for what it lacks: see
[Resuming](#resuming).

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
  object. An "object of integer" is one with any names, whose values are integers.

A message that is no request is answered with MALFORMED_FRAME, UNKNOWN_TYPE or INVALID_FIELD and the
connection stays open; ten in a row close it with 4502. Text that is not UTF-8 closes it with 1007.

## Order

Every event of a conversation (a message, its edit or deletion, a reaction, a member who joins or
leaves, another role, the making of the group or a change to it) has a `seq`; the first is 1 and no
number is left out. `prev` is the number before it, so a client that holds `prev` has missed
nothing. A connection is sent the events of a conversation in the order of `seq`; only those that it
asks for afterwards, with RESUME, are older than what it was sent. The reply to one's own request
may overtake other events. Order by `seq`; `sentAt` is for showing.

TYPING, receipts and PRESENCE_UPDATE are not events. They have no number of their own, and who was
away is not sent them later.

## Who gets what

The connection that sent a request gets the reply. Every other connection of every member, the
sender's own others too, gets the push. Nobody is sent an event that is not stored, and SUCCESS for
a post, an edit, a deletion or a reaction means that it is. Who leaves a group or is removed from it
is sent GROUP_MEMBER_LEFT, and nothing of the group after it.

What came while a user was away is pushed after INFO, with `offline: true`, in order, for every
conversation: everything after the user's delivered cursor (see [Receipts](#receipts)). With
`?resume=1` it waits until the client asks.

## Resuming

A client that keeps, for each conversation, the `seq` up to which it has every event gets exactly
what it lacks:

1. It connects with `?resume=1`. Nothing is sent yet of the conversations that are there at this
   moment, new events neither: they wait in the log. New conversations are sent as ever.
2. It sends RESUME with its `positions`, 0 where it has nothing. For more conversations than one
   RESUME takes it sends several. A conversation that no RESUME names stays silent; INIT_DATA tells
   of those that the client does not know yet.
3. The events after each position come with `offline: true`, in the order of `seq` within each
   conversation, then SUCCESS. From there on the conversation is live.

What cannot be served is named in `errors` of SUCCESS with NOT_A_MEMBER; the rest is served.

A position above the head is one that the log never had, as after a restore from a backup, when
`logId` in INFO is new. RESYNC with `afterSeq: 0` comes first, then everything that the user may
read, as if the position had been 0: drop what is kept of this conversation.

Nothing is sent twice on one connection. Without `?resume=1` RESUME sends just the events after the
position that the connection was not sent. That helps a device which was away while another one was
online: the delivered cursor is the user's, and had moved on.

## Receipts

A user has two cursors in each conversation, up to where they have received and up to where they
have read. ACK and MARK_READ move them to `seq`; MARK_READ moves both. They belong to the user, not
to a device, and only go forward: a lower `seq` changes nothing.

Until a connection has sent its first ACK, what it was sent before a ping that it answered counts as
delivered, and everything after a clean close. From its first ACK on only ACKs count for this
connection. One's own posts count as delivered.

When a cursor moves, DELIVERY_RECEIPT or READ_RECEIPT tells of it: `username` has everything up to
`seq`. It goes to the user's own other connections and

- in a direct conversation to the other user;
- in a group to the senders of the messages that are newly covered. In a group of more than 50
  members the moves of one second are one frame to each of them: `username` and `seq` of the one who
  got furthest, and `others`, how many more have moved.

Receipts are not kept for who is away. Where the other user of a direct conversation is by now is in
its history page: `peerDeliveredSeq` and `peerReadSeq`.

## Typing

A client sends TYPING with `isTyping: true` when its user begins, again every 3 seconds while they
go on, and `isTyping: false` when they stop. The others get a renewal every 3 seconds at most. When
none has come for 6 seconds the server itself tells them `isTyping: false`.

## Editing, deleting, reacting

These are events of the conversation, which name a message by its `id`. Every member may react. The
author and the admins of the group may edit and delete.

A message is posted with version 1 and every edit adds one. An edit that names a `version` is made
only if the message still has it, else it is VERSION_CONFLICT. A deletion is for ever: the text is
gone from the store, and so are those of its edits, so that events which are sent again later have
`content: ""`. A deleted message can no longer be edited or reacted to.

A history page and the events after its `headSeq`, applied in the order of `seq`, give exactly what
a later page shows:

- MESSAGE_EDITED sets `content` and `version`, `editedAt` to its `at`, and `editedBy` to its `from`
  (absent when that is the author).
- REACTION puts its `from` at the end of the users of its `emoji`; with `remove` it takes them out.
  An emoji that nobody is left with is taken away.
- MESSAGE_DELETED sets `deleted`, makes `content` empty, and takes away `reactions` and `mentions`.

## Slow readers

What waits for one connection is bounded. When a client reads more slowly than it is sent to, TYPING
and presence are left out first. Then the events of a conversation leave the queue and RESYNC is
sent in their place: everything up to `afterSeq` has come, what follows will come from the log. The
client need do nothing: the server sends it by itself as soon as the socket takes it, in order.
RESUME from `afterSeq` does no harm, nothing comes twice. A connection that takes nothing for 20
seconds is closed with 4008: reconnect and resume.

## Blocks

Between two users of whom one has blocked the other, a post, an edit, a reaction or TYPING in their
direct conversation is BLOCKED. Both may still read, delete, ACK and MARK_READ, which sends the
other no receipts. Their presence is UNKNOWN to each other.

## Sending again

A post with a `clientMsgId` may be repeated without harm, for 24 hours at least: the same
conversation, sender and `clientMsgId` give the first ack once more, with `duplicate: true`. With
another body it is CLIENT_MSG_ID_REUSED. After UNAVAILABLE, or a connection that broke before the
reply, send the same frame again.

A deletion or a reaction may be repeated too: what was done is answered with `duplicate: true` and
makes no event. An edit that is repeated is one more version; with `version` it is VERSION_CONFLICT
if the first one was made. A cursor only goes forward, so ACK and MARK_READ may be repeated.

## Histories

A history page is ascending and holds messages only, in their state at `headSeq`, with edits,
deletions and reactions applied: no joins, no leaves. `before` and `after` are numbers (`seq`) and
exclusive; give one of them, or none for the newest page. A page may be shorter than `limit`
although `hasMore` is true: go on from its last (or first) message.

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
