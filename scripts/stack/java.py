"""Java programs: the machine that runs them, and their jars from Maven Central."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scripts.stack.download import in_cache
from scripts.stack.errors import ServiceError, Unavailable
from scripts.stack.progress import say
from scripts.stack.tool import run

JAVA: Final = 17
"""The release that all of them are made for."""
_JAVA_PACKAGE: Final = "openjdk-17-jre-headless"
_MAVEN_PACKAGE: Final = "maven"
_HOMES: Final = Path("/usr/lib/jvm")
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_POM: Final = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>chatd.services</groupId>
  <artifactId>{name}</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
_DEPENDENCY: Final = (
    "    <dependency><groupId>{}</groupId><artifactId>{}</artifactId>"
    "<version>{}</version></dependency>"
)


def missing_packages(cache_folder: Path, jars: str) -> list[str]:
    """What Debian must give before these jars can be run."""
    missing = [] if java() else [_JAVA_PACKAGE]
    if not (cache_folder / jars).is_dir() and shutil.which("mvn") is None:
        missing.append(_MAVEN_PACKAGE)
    return missing


def require_java() -> str:
    """The program. Raises Unavailable."""
    found = java()
    if found is None:
        raise Unavailable(f"needs Java {JAVA}; on Debian, apt-get install {_JAVA_PACKAGE}")
    return str(found)


def java() -> Path | None:
    """The program of the release that is wanted, wherever it is installed."""
    named = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    homes = [Path(named)] if named else []
    if on_path is not None:
        homes.append(Path(on_path).resolve().parents[1])
    homes += sorted(_HOMES.iterdir()) if _HOMES.is_dir() else []
    return next((home / "bin" / "java" for home in homes if release_of(home) == JAVA), None)


def release_of(home: Path) -> int | None:
    """The release of the Java in this folder; None if there is none."""
    if not (home / "bin" / "java").is_file():
        return None
    try:
        found = re.search(r'^JAVA_VERSION="(\d+)', (home / "release").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


def fetch_jars(cache_folder: Path, name: str, artifacts: Sequence[str]) -> Path:
    """The folder with these artifacts (group:name:version) and all that they need.

    Raises:
        Unavailable: there is no Maven, or it could not get them.
    """

    def fetch(folder: Path) -> None:
        if shutil.which("mvn") is None:
            raise Unavailable(f"needs Maven; on Debian, apt-get install {_MAVEN_PACKAGE}")
        say(name, f"is downloaded to {cache_folder}")
        (folder / "pom.xml").write_text(pom(name, artifacts))
        command = ["mvn", "-q", "-B", "-f", str(folder / "pom.xml"), _COPY]
        try:
            run([*command, f"-DoutputDirectory={folder}", "-DincludeScope=runtime"])
        except ServiceError as error:
            raise Unavailable(f"cannot be downloaded: {error}") from None

    # Maven's own folder is not made for two of them at once.
    return in_cache(cache_folder, name, fetch, lock="maven")


def pom(name: str, artifacts: Sequence[str]) -> str:
    """A Maven project that is nothing but its dependencies."""
    dependencies = [_DEPENDENCY.format(*artifact.split(":")) for artifact in artifacts]
    return _POM.format(name=name, dependencies="\n".join(dependencies))
