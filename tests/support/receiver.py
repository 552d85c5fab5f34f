"""A receiver of webhooks: a small HTTP server that keeps what it was sent, and answers as told.

    with Receiver() as receiver:
        receiver.answers = [503, 200]        # the next ones; after them 200
        ...
        receiver.told                        # what it got, each checked against its secret

It runs in threads of its own: it may be used from anywhere.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

SECRET: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()
_CLOCKS_SECONDS: Final = 300


class Told(NamedTuple):
    """One webhook, as it came."""

    path: str
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes
    status: int
    """What it was answered."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def is_signed(self, secret: str) -> bool:
        """What a receiver looks at, by the specification's own words and none of chatd's code."""
        at = self.headers["webhook-timestamp"]
        if abs(time.time() - int(at)) > _CLOCKS_SECONDS:
            return False
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{at}.".encode() + self.body
        expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return expected in self.headers["webhook-signature"].split(" ")


class Receiver:
    """For `with`: listens from entering to leaving, on a port of its own."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """A `port` of 0 is one of the system's choice."""
        self.asked = 0
        """Webhooks that came, also those that have no answer yet."""
        self.told: list[Told] = []
        self.answers: list[int] = []
        """Statuses of the next answers; after them it is 200."""
        self.answer_headers: dict[str, str] = {}
        self.answer_body = b""
        self.is_open = threading.Event()
        """While it is not set nobody gets an answer."""
        self.is_open.set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((host, port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.is_open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver._lock:
                    receiver.asked += 1
                receiver.is_open.wait()
                with receiver._lock:
                    status = receiver.answers.pop(0) if receiver.answers else 200
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    receiver.told.append(Told(self.path, headers, body, status))
                try:
                    self.send_response(status)
                    for name, value in receiver.answer_headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(receiver.answer_body)))
                    self.end_headers()
                    self.wfile.write(receiver.answer_body)
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        return Handler
