"""Accounts over HTTP, with the standard library alone."""

import asyncio
import http.client
import json
from typing import Any, Final
from urllib.parse import urlsplit

_PASSWORD: Final = "correct horse battery"
_SECONDS: Final = 30.0


async def register(http_url: str, username: str) -> str:
    """A token of a new user."""
    return await _session(http_url, "/api/auth/register", username)


async def log_in(http_url: str, username: str) -> str:
    """A token of another device of a user."""
    return await _session(http_url, "/api/auth/login", username)


async def _session(http_url: str, path: str, username: str) -> str:
    body = {"username": username, "password": _PASSWORD}
    answer = await asyncio.to_thread(_post, http_url, path, body)
    token = answer["token"]
    assert isinstance(token, str)
    return token


def _post(http_url: str, path: str, body: dict[str, str]) -> dict[str, Any]:
    connection = http.client.HTTPConnection(urlsplit(http_url).netloc, timeout=_SECONDS)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read()
        assert response.status in (200, 201), f"{path}: {response.status} {text[:200]!r}"
        answer = json.loads(text)
        assert isinstance(answer, dict)
        return answer
    finally:
        connection.close()
