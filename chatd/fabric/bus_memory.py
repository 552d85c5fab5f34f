"""The in-process Bus: a listener is called before `publish` returns."""

from loguru import logger

from chatd.fabric.bus import Listener


class MemoryBus:
    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}

    async def subscribe(self, topic: str, listener: Listener) -> None:
        self._listeners.setdefault(topic, []).append(listener)

    async def unsubscribe(self, topic: str, listener: Listener) -> None:
        listeners = self._listeners.get(topic, [])
        if listener in listeners:
            listeners.remove(listener)
            if not listeners:
                del self._listeners[topic]

    async def publish(self, topic: str, payload: bytes) -> None:
        for listener in tuple(self._listeners.get(topic, ())):
            try:
                listener(payload)
            except Exception:
                logger.exception("a listener of {} failed", topic)
