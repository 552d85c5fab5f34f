"""A list of subprotocols that cannot be read was answered with itself: with the token in it."""

import pytest

from tests.edge.raw import RawClient, upgrade
from tests.support.loop import run
from tests.support.node import Node


@pytest.mark.parametrize("end", [", two words", ", ???", ";"])
def test_a_token_is_not_sent_back(end: str, node: Node) -> None:
    async def main() -> None:
        token = node.token("somebody")
        async with await RawClient.connect(node.chat_port) as client:
            headers = {"Sec-WebSocket-Protocol": f"chat.v1, bearer.{token}{end}"}
            await client.send(upgrade(headers=headers))
            answer = await client.answer()
            assert answer.status == 400
            assert token.encode() not in answer.body
        assert token not in node.log

    run(main())
