"""The in-process Bus: a listener is called before `publish` returns."""

from collections.abc import Callable, Collection

from loguru import logger

from chatd.fabric.bus import Listener


class MemoryBus:
    """See the port."""

    is_shared = False
    is_connected = True

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}
        self.reconnected: Callable[[], None] | None = None

    async def subscribe(self, topics: Collection[str], listener: Listener) -> None:
        for topic in topics:
            self._listeners.setdefault(topic, []).append(listener)

    def unsubscribe(self, topics: Collection[str], listener: Listener) -> None:
        for topic in topics:
            listeners = self._listeners.get(topic, [])
            if listener in listeners:
                listeners.remove(listener)
                if not listeners:
                    del self._listeners[topic]

    def publish(self, topic: str, payload: bytes) -> None:
        for listener in tuple(self._listeners.get(topic, ())):
            try:
                listener(topic, payload)
            except Exception:
                logger.exception("a listener of {} failed", topic)
