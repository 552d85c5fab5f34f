"""The metric of slow consumers stayed at zero, whoever was closed."""

from protocol.close import CloseCode
from protocol.pushes import GroupCreated
from tests.e2e.town import Town
from tests.edge import raw
from tests.edge.raw import RawClient
from tests.support.loop import run
from tests.support.node import Node


def test_each_is_counted(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            slow, ann = await town.settle_all("slow", "ann")
            writer = await town.connect(ann)
            made = await writer.create_group("club", [slow.name])
            assert made.group_id is not None
            async with await RawClient.connect(node.chat_port, reads_ahead=False) as sleeper:
                await sleeper.open(headers={"Authorization": f"Bearer {slow.token}"})
                assert b'"INFO"' in await sleeper.text()
                assert f'"{GroupCreated.__struct_config__.tag}"'.encode() in await sleeper.text()
                for _ in range(450):
                    await writer.send_group(made.group_id, "x" * 16_000)
                while (frame := await sleeper.frame()).opcode == raw.TEXT:
                    pass
                assert frame.code == CloseCode.SLOW_CONSUMER
            assert node.metric("chatd_slow_consumers_total") == 1

    run(main())
