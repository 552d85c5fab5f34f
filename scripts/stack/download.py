"""What is downloaded once for all checkouts: it is in the cache whole, or not at all."""

import fcntl
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from scripts.stack.errors import Unavailable


def in_cache(cache: Path, name: str, fetch: Callable[[Path], None], lock: str) -> Path:
    """The folder of this name in the cache; if it is not there, `fetch` fills it.

    One download at a time holds a `lock` of this name, whoever else uses the cache.

    Raises:
        Unavailable: the cache cannot be written, or what `fetch` raised.
    """
    folder = cache / name
    if folder.is_dir():
        return folder
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{lock}.lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            if folder.is_dir():
                return folder
            new = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=cache))
            try:
                fetch(new)
                new.chmod(0o755)
                new.rename(folder)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise Unavailable(f"cannot be kept in {cache}: {error.strerror}") from None
    return folder
