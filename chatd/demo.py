"""`chatd serve --demo`: three friends and a group, made once."""

from typing import Final

from chatd.auth import Principal
from chatd.errors import ChatError
from chatd.services.accounts import Accounts
from chatd.services.conversations import Conversations
from chatd.stores.conversation_store import ConversationStore
from chatd.stores.user_store import UserStore
from protocol.errors import ErrorCode
from protocol.model import HistoryVisibility
from protocol.requests import CreateGroup

USERS: Final = {"alice": "Alice", "bob": "Bob", "charlie": "Charlie"}
PASSWORD: Final = "password123"
GROUP: Final = "demo"
_INVITATION: Final = """
  Demo users: {users} (password {password}), friends, and together in the group "{group}".

  Chat from two other terminals of the checkout:

      make chat AS=alice
      make chat AS=bob

  Or with any client: log in at http://{host}:{http}/api/auth/login, then open
  ws://{host}:{chat}/?authToken=TOKEN. What can be sent: docs/protocol.md. Ctrl-C stops the server.
"""


async def create(
    accounts: Accounts, users: UserStore, store: ConversationStore, conversations: Conversations
) -> None:
    """Make what is not there yet of alice, bob and charlie, their friendships, and
    the group "demo"."""
    for username, display_name in USERS.items():
        try:
            await accounts.create(username, PASSWORD, display_name)
        except ChatError as error:
            if error.code is not ErrorCode.USERNAME_TAKEN:
                raise
    names = sorted(USERS)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            await users.befriend(one, other, 0)
    summaries = await store.summaries("alice", limit=1000)
    if not any(summary.name == GROUP for summary in summaries):
        request = CreateGroup(name=GROUP, members=names, open=True, history=HistoryVisibility.ALL)
        outcome = await conversations.append_group(Principal("alice", "demo", 0), request)
        assert outcome.code is None, outcome


def invitation(host: str, http: int, chat: int) -> str:
    """How to connect, for the one who started the server."""
    users = ", ".join(USERS)
    return _INVITATION.format(
        users=users, password=PASSWORD, group=GROUP, host=host, http=http, chat=chat
    )
