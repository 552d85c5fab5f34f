"""The tokens of a login: renewed over HTTP, and used there."""

from collections.abc import Callable

from testclients import http
from testclients.errors import CannotConnect, HttpFailed


class Credentials:
    """Of one device. A refresh token works once: the new pair takes the place of the old one."""

    def __init__(
        self,
        server: str,
        login: http.Login,
        on_renewed: Callable[[http.Login], None] | None = None,
    ) -> None:
        """`server` is the base URL of the HTTP API; `on_renewed` is told of every new pair."""
        self.token = login.token
        self._server = server
        self._refresh_token = login.refresh_token
        self._on_renewed = on_renewed

    async def renew(self) -> None:
        """Exchange the refresh token.

        Raises:
            HttpFailed: UNAUTHENTICATED, the login has ended.
            CannotConnect
        """
        login = await http.refresh(self._server, self._refresh_token)
        self.token, self._refresh_token = login.token, login.refresh_token
        if self._on_renewed is not None:
            self._on_renewed(login)

    async def conversations(self, cursor: str | None) -> http.ConversationPage:
        """The user's most recent conversations, or those that follow the page with this `next`.

        Raises:
            CannotConnect: with the status 401, as a handshake has it, the token has expired.
            HttpFailed: any other refusal.
        """
        try:
            return await http.conversations(self._server, self.token, cursor)
        except HttpFailed as error:
            if error.status != 401:
                raise
            raise CannotConnect(self._server, str(error), error.status, error.code) from None
