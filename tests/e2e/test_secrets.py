"""What must stay secret: on disk for its owner alone, and never in the log."""

import pytest

from protocol import requests
from protocol.pushes import OneToOneChat
from testclients import http
from testclients.errors import CannotConnect, HttpFailed, RequestFailed
from tests.e2e.test_accounts import call
from tests.e2e.town import PASSWORD, Town, take
from tests.edge import raw
from tests.edge.raw import RawClient
from tests.support.loop import run
from tests.support.node import Node

CANARY = "canary.in.the.mine"


def test_the_data_folder_is_its_owners_alone(node: Node) -> None:
    assert node.data_dir.stat().st_mode & 0o777 == 0o700
    secret = node.data_dir / "jwt-secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert len(secret.read_text().strip()) >= 32


def test_the_secret_outlives_a_restart(node: Node) -> None:
    async def main() -> None:
        login = await http.register(node.http_url, "keeper", PASSWORD)
        assert node.stop() == 0
        node.start()
        await http.logout(node.http_url, login.token)

    before = (node.data_dir / "jwt-secret").read_text()
    run(main())
    assert (node.data_dir / "jwt-secret").read_text() == before


def test_no_password_token_or_message_is_ever_logged(node: Node) -> None:
    """Everything that can go right or wrong with them, and then the log is searched."""
    secrets: list[str] = []

    def secret(text: str) -> str:
        secrets.append(text)
        return text

    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            secrets.extend([ann.token, ann.refresh_token, ben.token, ben.refresh_token])
            for name in ("ab", ann.name, "newcomer"):
                with pytest.raises(HttpFailed):
                    await http.register(node.http_url, name, secret(f"{CANARY}-{len(secrets)}" * 9))
            with pytest.raises(HttpFailed):
                await http.login(node.http_url, ann.name, secret(f"{CANARY} wrong"))
            call(node, "/api/auth/login", secret(f'{{"password": "{CANARY} cut').encode())
            call(node, "/api/auth/register", {"username": 7, "password": secret(f"{CANARY} 7")})
            with pytest.raises(HttpFailed):
                await http.refresh(node.http_url, secret(f"{CANARY}.refresh"))

            forged = secret(node.token(ann.name) + "x")
            expired = secret(node.token(ann.name, seconds=0))
            for token in (forged, expired):
                for by in ("header", "subprotocol", "query"):
                    with pytest.raises(CannotConnect):
                        await town.connect(ann, token=token, token_by=by)
                call(node, f"/nothing?authToken={token}", method="GET", token=token)
            async with await RawClient.connect(node.chat_port) as client:
                await client.send(raw.upgrade(f"/elsewhere?authToken={forged}"))
                assert (await client.answer()).status == 404
            async with await RawClient.connect(node.http_port) as client:
                await client.send(raw.upgrade(f"/?authToken={forged}"))
                assert (await client.answer()).status == 401
            async with await RawClient.connect(node.chat_port) as client:
                await client.send(f"GET /?authToken={forged}".encode() + b"x" * 9000 + b"\r\n\r\n")
                assert (await client.answer()).status == 414

            ann_here = await town.connect(ann, token_by="query")
            ben_here = await town.connect(ben, token_by="subprotocol")
            made = await ann_here.create_group(secret(f"{CANARY} group"), [ben.name])
            assert made.group_id is not None
            await ann_here.send_direct(ben.name, secret(f"{CANARY} direct"), secret(f"{CANARY}.id"))
            await ann_here.send_group(made.group_id, secret(f"{CANARY} to all"))
            with pytest.raises(RequestFailed):
                await ann_here.send_direct("nobody.here", secret(f"{CANARY} to nobody"))
            with pytest.raises(RequestFailed):
                await ann_here.request(
                    requests.OneToOneChat(
                        to=ben.name, content=secret(f"{CANARY} ttl"), ttl_seconds=9
                    )
                )
            await ann_here.send_raw(secret(f'{{"type": "ONE_TO_ONE_CHAT", "{CANARY}'))
            await ann_here.send_raw(secret(f"{CANARY} binary").encode())
            await take(ben_here, OneToOneChat, 1)
            await ann_here.send_raw(secret(f'{{"{CANARY} not UTF-8": "').encode() + b'\xff"}')
            await ann_here.history_direct(ben.name)
            await ben_here.abort()
            await http.logout(node.http_url, ann.token)
            await ann_here.closed

    run(main())
    assert node.stop() == 0
    log = node.log + node.output
    node.start()
    assert "stopped" in log
    assert len(secrets) > 20
    for text in [*secrets, PASSWORD, CANARY, (node.data_dir / "jwt-secret").read_text().strip()]:
        assert text not in log
