"""One user, many devices: the connection that sends has the ack, every other has the frame; where
one is logged in can be seen and ended."""

import asyncio

import pytest

from protocol import requests
from protocol.close import CloseCode
from protocol.pushes import (
    GroupChat,
    GroupCreated,
    GroupMemberJoined,
    GroupMemberLeft,
    OneToOneChat,
    Success,
)
from testclients import http
from testclients.errors import CannotConnect, HttpFailed
from tests.e2e.rest import done, refused, rest
from tests.e2e.test_accounts import LOGIN, check_problem
from tests.e2e.town import PASSWORD, Resident, Town, contents, everything
from tests.support.loop import run
from tests.support.node import Node


def test_every_other_connection_of_both_gets_the_frame(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            second = await http.login(node.http_url, ann.name, PASSWORD)
            # Two connections of one device, one of another: all are different connections.
            phones = [
                await town.connect(ann),
                await town.connect(ann),
                await town.connect(ann, token=second.token),
            ]
            bens = [await town.connect(ben) for _ in range(3)]
            assert len({client.info.connection_id for client in phones + bens}) == 6
            for number, sender in enumerate(phones):
                ack = await sender.send_direct(ben.name, f"from {number}")
                for client in [*phones, *bens]:
                    if client is not sender:
                        push = await client.next_push(OneToOneChat)
                        assert (push.id, push.seq) == (ack.id, number + 1)
                        assert (push.from_, push.to) == (ann.name, ben.name)
                assert await everything(sender) == []

    run(main())


def test_the_same_in_a_group(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            phone, laptop = [await town.connect(ann) for _ in range(2)]
            bens = [await town.connect(ben) for _ in range(2)]
            made = await phone.create_group("club", open=True)
            assert made.group_id is not None
            assert (await laptop.next_push(GroupCreated)).group_id == made.group_id
            joined = await bens[0].join_group(made.group_id)
            for client in (phone, laptop, bens[1]):
                assert (await client.next_push(GroupMemberJoined)).seq == joined.seq
            ack = await bens[1].send_group(made.group_id, "hi")
            for client in (phone, laptop, bens[0]):
                assert (await client.next_push(GroupChat)).id == ack.id
            left = await bens[1].leave_group(made.group_id)
            for client in (phone, laptop, bens[0]):
                assert (await client.next_push(GroupMemberLeft)).seq == left.seq
            await phone.send_group(made.group_id, "alone")
            assert contents(await everything(laptop)) == ["alone"]
            for client in (phone, *bens):
                assert await everything(client) == []

    run(main())


def test_a_connection_that_sends_much_sees_the_others_between_its_acks(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            senders = [await town.connect(ann) for _ in range(3)] + [await town.connect(ben)]
            peers = {ann.name: ben.name, ben.name: ann.name}
            for number in range(100):
                for index, client in enumerate(senders):
                    await client.send(
                        requests.OneToOneChat(
                            ref=f"{number}", to=peers[client.user], content=f"{index} {number}"
                        )
                    )

            async def collect(index: int) -> None:
                acked: list[int] = []
                seen: list[int] = []
                while len(acked) + len(seen) < 400:
                    frame = await senders[index].next_push()
                    if isinstance(frame, Success):
                        assert frame.seq is not None
                        acked.append(frame.seq)
                    elif isinstance(frame, OneToOneChat):
                        assert not frame.content.startswith(f"{index} "), (
                            "one's own by this connection"
                        )
                        seen.append(frame.seq)
                assert len(acked) == 100
                assert acked == sorted(acked)
                assert seen == sorted(seen), "events never overtake each other"
                assert sorted(acked + seen) == list(range(1, 401))

            await asyncio.gather(*(collect(index) for index in range(4)))

    run(main())


async def log_in(town: Town, who: Resident, name: str | None = None) -> Resident:
    """The user on one more device."""
    body = {"username": who.name, "password": PASSWORD} | ({"deviceName": name} if name else {})
    login = await done(town, "POST", "/api/auth/login", None, body)
    return Resident(who.name, login["token"], login["refreshToken"])


async def device_id(town: Town, who: Resident) -> str:
    """The id of the device whose token this is."""
    devices = (await done(town, "GET", "/api/devices", who))["devices"]
    (current,) = (device["deviceId"] for device in devices if device["current"])
    assert isinstance(current, str)
    return current


async def check_ended(town: Town, who: Resident, *, is_over: bool) -> None:
    """The device's tokens are good for nothing; or they still are."""
    if not is_over:
        await done(town, "GET", "/api/devices", who)
        return
    assert await refused(town, "GET", "/api/devices", who) == "UNAUTHENTICATED"
    with pytest.raises(CannotConnect) as cannot:
        await town.connect(who)
    assert cannot.value.http_status == 401
    with pytest.raises(HttpFailed, match="UNAUTHENTICATED"):
        await http.refresh(town.node.http_url, who.refresh_token)


def test_devices_are_listed(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            phone, laptop = await log_in(town, ann, "Phone Ü."), await log_in(town, ann)
            for who in (ann, phone, laptop):
                devices = (await done(town, "GET", "/api/devices", who))["devices"]
                assert len({device["deviceId"] for device in devices}) == 3
                assert sorted(str(device["name"]) for device in devices) == [
                    "None",
                    "None",
                    "Phone Ü.",
                ]
                made = [device["createdAt"] for device in devices]
                assert made == sorted(made, reverse=True)
                (current,) = (device for device in devices if device["current"])
                assert current["name"] == ("Phone Ü." if who is phone else None)
                assert current.keys() == {"deviceId", "name", "createdAt", "current"}
            assert len((await done(town, "GET", "/api/devices", ben))["devices"]) == 1
            for name in ("", "x" * 101, "two\nlines"):
                account = {"username": ann.name, "password": PASSWORD, "deviceName": name}
                code = await refused(town, "POST", "/api/auth/login", None, account)
                assert code == "INVALID_FIELD"

    run(main())


def test_a_device_is_logged_out_from_another(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            lost = await log_in(town, ann)
            stays = [await town.connect(ann), await town.connect(ben)]
            ended = [await town.connect(lost), await town.connect(lost, presence=True)]
            ended.append(await town.connect(lost, resumes=True))
            lost_id = await device_id(town, lost)
            for who, path in (
                (ben, f"/api/devices/{lost_id}"),
                (ann, "/api/devices/nothing"),
                (ann, f"/api/devices/{lost_id}x"),
            ):
                assert (await rest(town, "DELETE", path, who)).status == 404
            await check_ended(town, lost, is_over=False)
            reply = await rest(town, "DELETE", f"/api/devices/{lost_id}", ann)
            assert (reply.status, reply.body) == (204, b"")
            for client in ended:
                assert await client.closed == CloseCode.TOKEN_REVOKED
            await check_ended(town, lost, is_over=True)
            for client in stays:
                await client.ping()
            assert (await rest(town, "DELETE", f"/api/devices/{lost_id}", ann)).status == 404
            assert len((await done(town, "GET", "/api/devices", ann))["devices"]) == 1
            # Its own device too.
            await done(town, "DELETE", f"/api/devices/{await device_id(town, ann)}", ann)
            assert await stays[0].closed == CloseCode.TOKEN_REVOKED
            await check_ended(town, ann, is_over=True)

    run(main())


def test_another_password_leaves_this_device_alone(node: Node) -> None:
    async def main() -> None:
        async with Town(node) as town:
            ann, ben = await town.settle_all("ann", "ben")
            others = [await log_in(town, ann), await log_in(town, ann)]
            here = [await town.connect(ann), await town.connect(ann, presence=True)]
            there = [await town.connect(who) for who in others]
            there.append(await town.connect(ann, token=node.token(ann.name)))
            bystander = await town.connect(ben)
            path, renewed = "/api/users/me/password", "battery staple correct"
            for body, status, code in (
                (
                    {"currentPassword": "wrong one", "newPassword": renewed},
                    401,
                    "WRONG_CREDENTIALS",
                ),
                ({"currentPassword": PASSWORD, "newPassword": "short"}, 422, "WEAK_PASSWORD"),
                ({"currentPassword": PASSWORD}, 422, "INVALID_FIELD"),
                ({"newPassword": renewed}, 422, "INVALID_FIELD"),
            ):
                check_problem(await rest(town, "POST", path, ann, body), status, code)
            for client in (*here, *there):
                await client.ping()
            body = {"currentPassword": PASSWORD, "newPassword": renewed}
            reply = await rest(town, "POST", path, ann, body)
            assert reply.status == 200
            assert reply.json.keys() == LOGIN
            for client in there:
                assert await client.closed == CloseCode.TOKEN_REVOKED
            for who in others:
                await check_ended(town, who, is_over=True)
            for client in (*here, bystander):
                await client.ping()
            now = Resident(ann.name, reply.json["token"], reply.json["refreshToken"])
            await (await town.connect(now)).ping()
            assert len((await done(town, "GET", "/api/devices", now))["devices"]) == 1
            await check_ended(town, ann, is_over=True)
            assert (await http.refresh(node.http_url, now.refresh_token)).user.username == ann.name
            with pytest.raises(HttpFailed, match="WRONG_CREDENTIALS"):
                await http.login(node.http_url, ann.name, PASSWORD)
            await http.login(node.http_url, ann.name, renewed)

    run(main())
