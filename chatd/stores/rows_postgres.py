"""Rows of PostgreSQL as events and messages."""

from typing import Final

from chatd.events import Message
from chatd.stores.pool_postgres import Connection, Row
from chatd.stores.rows import event_of_row

EVENT_COLUMNS: Final = (
    "conversation_id, seq, nonce, kind, sender, body, at, coalesce(version, 0) AS version"
)


async def messages_of_rows(
    connection: Connection, conversation_id: str, rows: list[Row]
) -> list[Message]:
    """Rows of messages of one conversation, ascending, with what became of them."""
    if not rows:
        return []
    first, last = rows[0]["seq"], rows[-1]["seq"]
    states = {
        row["seq"]: row
        for row in await connection.fetch(
            "SELECT seq, version, edited_seq, deleted_seq FROM message_state"
            " WHERE conversation_id = $1 AND seq BETWEEN $2 AND $3",
            conversation_id,
            first,
            last,
        )
    }
    edits = {
        row["seq"]: event_of_row(row)
        for row in await connection.fetch(
            f"SELECT {EVENT_COLUMNS} FROM ledger WHERE conversation_id = $1 AND seq = ANY($2)",
            conversation_id,
            [row["edited_seq"] for row in states.values() if row["edited_seq"] is not None],
        )
    }
    reactions: dict[int, list[tuple[str, str]]] = {}
    for row in await connection.fetch(
        "SELECT target, emoji, username FROM reaction"
        " WHERE conversation_id = $1 AND target BETWEEN $2 AND $3 ORDER BY target, seq",
        conversation_id,
        first,
        last,
    ):
        reactions.setdefault(row["target"], []).append((row["emoji"], row["username"]))
    messages: list[Message] = []
    for row in rows:
        posted = event_of_row(row)
        state = states.get(posted.seq)
        if state is None:
            messages.append(Message(posted, reactions=reactions.get(posted.seq, [])))
            continue
        messages.append(
            Message(
                posted,
                state["version"],
                edits.get(state["edited_seq"]),
                state["deleted_seq"] is not None,
                reactions.get(posted.seq, []),
            )
        )
    return messages
