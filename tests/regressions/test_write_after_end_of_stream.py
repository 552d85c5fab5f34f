"""A client that sent FIN without a close frame was written to once more: the transport raised, in
the middle of whatever loop over connections was under way."""

from tests.edge.listener import Listener
from tests.edge.raw import RawClient
from tests.support.loop import run


def test_the_connection_is_told_before_the_transport_takes_nothing_more() -> None:
    async def main() -> None:
        async with Listener() as listener, await RawClient.connect(listener.port) as client:
            await client.open()
            client.writer.write_eof()
            await listener.ear.ended
            assert listener.ear.was_told_in_time

    run(main(), debug=True)
