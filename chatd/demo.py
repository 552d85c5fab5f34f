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


async def create(
    accounts: Accounts, users: UserStore, store: ConversationStore, conversations: Conversations
) -> None:
    """Make what is not there yet of alice, bob and charlie, their friendships, and the group "demo"."""
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
    summaries = await store.summaries("alice", limit=1000, unread_cap=0)
    if not any(summary.name == GROUP for summary in summaries):
        request = CreateGroup(name=GROUP, members=names, open=True, history=HistoryVisibility.ALL)
        outcome = await conversations.append_group(Principal("alice", "demo", 0), request)
        assert outcome.code is None, outcome
