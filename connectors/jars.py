"""The jars the local stack runs: pinned Maven coordinates, fetched by jgo into a cache folder, checked by SHA-256.

`jars.lock` lists every jar with its hash, transitive ones included, so nothing is resolved at run time: a first run
downloads in parallel, a second one touches neither the network nor the hashes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from signalbox.errors import StackError

LOCK_FILE: Final = Path(__file__).with_name("jars.lock")
PARALLEL_DOWNLOADS: Final = 8
DOWNLOAD_TIMEOUT_SECONDS: Final = 60

Fetch = Callable[["Jar", Path], Path]
"""Downloads one jar into a scratch folder and returns the file; raises OSError or RuntimeError where it cannot."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned jar."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """`<artifact>-<version>.jar`."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinate(self) -> str:
        """`group:artifact:version`."""
        return f"{self.group}:{self.artifact}:{self.version}"


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where jars are kept: `$XDG_CACHE_HOME/signalbox/jars`, by default under `~/.cache`."""
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "signalbox" / "jars"


def locked(section: str) -> tuple[Jar, ...]:
    """Return the jars of one section of `jars.lock`: `kafka` (the broker), `flink` (what the wheel lacks), others."""
    jars: list[Jar] = []
    current = ""
    for line in LOCK_FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif line and not line.startswith("#") and current == section:
            coordinate, sha256 = line.split()
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, sha256))
    return tuple(jars)


def missing(cache: Path | None = None) -> tuple[Jar, ...]:
    """Return the jars that would have to be downloaded."""
    folder = cache or cache_folder()
    return tuple(
        jar for jar in (*locked("kafka"), *locked("flink")) if not _path(folder, jar).is_file()
    )


def ensure(
    section: str,
    cache: Path | None = None,
    *,
    fetch: Fetch | None = None,
) -> tuple[Path, ...]:
    """Return the files of one section, downloading those that are not in the cache.

    A file is moved into the cache only when its hash was right, so a cached file is a good one.

    Raises:
        StackError: a jar could not be downloaded, or what came has another hash.
    """
    folder = cache or cache_folder()
    jars = locked(section)
    wanted = [jar for jar in jars if not _path(folder, jar).is_file()]
    if wanted:
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
            # list(): the first failure is raised here, in the caller's thread.
            list(pool.map(lambda jar: _download(jar, folder, fetch or _fetch), wanted))
    return tuple(_path(folder, jar) for jar in jars)


def _path(folder: Path, jar: Jar) -> Path:
    # The hash is in the path: a changed pin is another file, never a stale one.
    return folder / f"{jar.sha256[:12]}-{jar.file_name}"


def _download(jar: Jar, folder: Path, fetch: Fetch) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=".download-", dir=folder))
    try:
        try:
            downloaded = fetch(jar, scratch)
        except (OSError, RuntimeError) as error:
            msg = (
                f"cannot download {jar.coordinate}: {_first_line(error)}; "
                f"the first start needs a network connection to a Maven repository "
                f"(later starts use {folder})"
            )
            raise StackError(msg) from error
        actual = hashlib.sha256(downloaded.read_bytes()).hexdigest()
        if actual != jar.sha256:
            msg = (
                f"{jar.coordinate} was downloaded with SHA-256 {actual}, "
                f"expected {jar.sha256}; nothing was kept, check the Maven repository or proxy"
            )
            raise StackError(msg)
        downloaded.replace(_path(folder, jar))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fetch(jar: Jar, scratch: Path) -> Path:
    from jgo.maven import MavenContext  # noqa: PLC0415 (0.5 s to import, for the first start only)

    context = MavenContext(repo_cache=scratch, timeout=DOWNLOAD_TIMEOUT_SECONDS)
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    return Path(component.artifact().resolve())


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def main(arguments: Sequence[str] | None = None) -> None:
    """Copy the jars of one section into a folder: `python -m connectors.jars SECTION FOLDER`."""
    parser = argparse.ArgumentParser(prog="python -m connectors.jars", description=main.__doc__)
    parser.add_argument("section")
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args(arguments)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    jars = locked(chosen.section)
    for jar, path in zip(jars, ensure(chosen.section), strict=True):
        shutil.copyfile(path, chosen.folder / jar.file_name)


if __name__ == "__main__":
    main()
