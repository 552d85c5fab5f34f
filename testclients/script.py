"""Runs without a person: send what the flags or standard input say, print what comes, end.

Rule of this file: the server takes what it wrote before a clean close for delivered, so all that
came is printed before the end. A run that only sends one message cuts the connection instead of
closing it, and what waits for the user goes on waiting.
"""

import asyncio
import time

from protocol.pushes import ServerFrame
from testclients import render
from testclients.client import ChatClient
from testclients.conversations import Conversation, Direct, find_group, is_message_of, post
from testclients.errors import first_of_group
from testclients.lines import LineReader
from testclients.options import EXIT_OK, EXIT_TOO_FEW, Options


class Script:
    def __init__(self, client: ChatClient, options: Options) -> None:
        self._client = client
        self._options = options
        self._view = render.View(client.user)

    async def run_flags(self) -> int:
        """Do what --send, --wait and --until say, in this order. Returns the exit code.

        Raises:
            ClientError
        """
        here = await self._find()
        if self._options.send is not None and here is not None:
            await self._send(here, self._options.send)
        if self._options.wait_seconds is None and self._options.until is None:
            await self._client.abort()
            return EXIT_OK
        is_enough = await self._receive(here)
        await self._finish()
        return EXIT_OK if is_enough else EXIT_TOO_FEW

    async def run_lines(self, lines: LineReader) -> int:
        """Send every line and await its ack before the next. Returns the exit code.

        Raises:
            ClientError: the first that goes wrong; the lines after it are not sent.
        """
        here = await self._find()
        assert here is not None, "the options demand a conversation"
        with first_of_group():
            async with asyncio.TaskGroup() as tasks:
                printer = tasks.create_task(self._print_pushes())
                while (line := await lines.next()) is not None:
                    if line.strip():
                        await self._send(here, line)
                printer.cancel()
        await self._finish()
        return EXIT_OK

    async def _find(self) -> Conversation | None:
        if self._options.group is not None or not self._options.json:
            groups = (await self._client.init_data()).groups
            self._view.group_names = {group.group_id: group.name for group in groups}
            if self._options.group is not None:
                self._view.here = find_group(groups, self._options.group)
        if self._options.to is not None:
            self._view.here = Direct(self._options.to)
        return self._view.here

    async def _send(self, here: Conversation, text: str) -> None:
        ack = await post(self._client, here, text)
        print(render.as_json(ack) if self._options.json else render.ack(ack), flush=True)

    async def _receive(self, here: Conversation | None) -> bool:
        """Print what comes until there were enough messages or time is over; False for too few."""
        missing = self._options.until
        try:
            async with asyncio.timeout(self._options.wait_seconds):
                while missing != 0:
                    frame = await self._client.next_push(timeout=None)
                    self._print(frame)
                    if missing is not None and is_message_of(frame, here):
                        missing -= 1
        except TimeoutError:
            return missing is None
        return True

    async def _print_pushes(self) -> None:
        while True:
            self._print(await self._client.next_push(timeout=None))

    async def _finish(self) -> None:
        await self._client.close()
        for frame in self._client.take_all():
            self._print(frame)

    def _print(self, frame: ServerFrame) -> None:
        if self._options.json:
            line = render.as_json(frame)
        else:
            line = render.push(frame, time.time_ns() // 1_000_000, self._view)
        print(line, flush=True)
