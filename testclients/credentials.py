"""The tokens of a login, renewed over HTTP."""

from collections.abc import Callable

from testclients import http


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
