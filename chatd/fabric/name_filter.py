"""Port NameFilter: which usernames and group ids nobody has, without asking the store.

A filter is sure of an absence only, and only once it is built; whatever it cannot say, because it
is being built or what it shares with other nodes is gone, is left to the store. So nothing here
raises because of the fabric, and losing a filter costs queries and nothing else.

Guarantee: when `is_absent` says True, no account or group of the name was committed when the call
began, by any node. That holds because every commit that makes a name happens inside `entering`.
What makes names in another way (a script of an operator, say) must give the names a new epoch
(UserStore.renew_names_epoch) before its commit.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class NameFilter(Protocol):
    @property
    def is_built(self) -> bool:
        """Whether an absence may be told now."""
        ...

    async def start(self) -> None:
        """Begin to build, or to take over what others built, in the background."""
        ...

    async def stop(self) -> None: ...

    def seems_absent(self, name: str) -> bool:
        """Whether it is worth asking `is_absent`: told at once, from memory. Never an answer."""
        ...

    async def is_absent(self, name: str) -> bool:
        """True: nobody has the name. False: somebody may; ask the store."""
        ...

    def entering(self, name: str) -> AbstractAsyncContextManager[None]:
        """To be held around the commit that makes the name. May take some seconds to enter when the
        other nodes cannot be told otherwise.

        Raises:
            BackendError: the store failed, nothing may be committed.
        """
        ...

    def asked_in_vain(self, username: str) -> None:
        """`is_absent` said False of a user, and the store has none: counted."""
        ...


def of_user(username: str) -> str:
    """The name of a user. Never a group's: their names are their ids, which are decimal."""
    return "@" + username
