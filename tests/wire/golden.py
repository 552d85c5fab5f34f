"""The golden vectors: what the bytes of every frame mean, and which bytes are no frame.

`vectors/<type in lower case>.json` holds a frame's vectors, `malformed.json` those of no frame in
particular. Clients in other languages read them too. A file is a list of objects:

- `name`, and `direction`: `request` (to the server) or `push` (to the client, replies too);
- one of `bytes` (the JSON text), `hex` (for what is not UTF-8), `repeat` (`before`, `unit` so many
  `times`, `after`);
- `frame`: the frame's fields by their wire names, with their defaults, without those that are null
  and may be left out (of an older spelling: the request that it stands for); or `error`: its
  `code`, the `field` that it names, the `ref` that it repeats, and the code with which a socket is
  closed (`close`);
- `canonical`: these bytes are also what the frame is encoded to. Of a push they always are.

`python -m tests.wire.golden VERSION` keeps a copy of all frames under `released/VERSION`, for ever.
"""

import sys
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from protocol.errors import ErrorCode

HERE: Final = Path(__file__).parent
FOLDER: Final = HERE / "vectors"
RELEASED: Final = HERE / "released"


class Part(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    pass


class Repeat(Part, frozen=True, kw_only=True):
    before: str
    unit: str
    times: int
    after: str


class Failure(Part, frozen=True, kw_only=True):
    code: ErrorCode
    field: str | None = None
    ref: str | None = None
    close: int | None = None


class Vector(Part, frozen=True, kw_only=True):
    name: str
    direction: Literal["request", "push"]
    text: str | None = msgspec.field(default=None, name="bytes")
    hex: str | None = None
    repeat: Repeat | None = None
    canonical: bool = False
    frame: dict[str, Any] | None = None
    error: Failure | None = None

    def __post_init__(self) -> None:
        if [self.text, self.hex, self.repeat].count(None) != 2:
            raise ValueError("a vector has one of `bytes`, `hex` and `repeat`")
        if (self.frame is None) == (self.error is None):
            raise ValueError("a vector has either `frame` or `error`")

    @property
    def data(self) -> bytes:
        """The message as it travels."""
        if self.text is not None:
            return self.text.encode()
        if self.hex is not None:
            return bytes.fromhex(self.hex)
        assert self.repeat is not None
        return (
            self.repeat.before + self.repeat.unit * self.repeat.times + self.repeat.after
        ).encode()

    @property
    def fields(self) -> dict[str, Any]:
        """The frame of a vector that has one."""
        assert self.frame is not None
        return self.frame


def read(path: Path) -> list[Vector]:
    return msgspec.json.decode(path.read_bytes(), type=list[Vector])


def load() -> dict[str, list[Vector]]:
    """All vectors by the name of their file."""
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.json"))}


def shown(frame: msgspec.Struct) -> dict[str, Any]:
    """A frame as `Vector.frame` shows it."""
    fields: dict[str, Any] = {"type": frame.__struct_config__.tag}
    for field in msgspec.structs.fields(frame):
        value = getattr(frame, field.name)
        if value is not None or field.required:
            fields[field.encode_name] = msgspec.to_builtins(value)
    return fields


def freeze(version: str) -> Path:
    """Keep today's frames as those of a release.

    Raises:
        FileExistsError: the release was kept before.
    """
    frames = [
        vector for vectors in load().values() for vector in vectors if vector.frame is not None
    ]
    path = RELEASED / version / "frames.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(b"[\n" + b",\n".join(map(msgspec.json.encode, frames)) + b"\n]\n")
    return path


if __name__ == "__main__":
    freeze(sys.argv[1])
