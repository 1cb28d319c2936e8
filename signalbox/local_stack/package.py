"""The jobs as files for a cluster that is not ours: what `flink run -py <script> -pyfs <archive>` is given.

The archive holds our packages and `sql/` and nothing that pip installs; Python reads it without unpacking.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from connectors import jars
from signalbox.local_stack.layout import PROJECT_ROOT

ARCHIVE: Final = "signalbox-jobs.zip"
SCRIPTS: Final = ("orchestrate.py", "run_sql.py")
CONNECTOR: Final = "flink-sql-connector-kafka"

_PACKAGES: Final = ("signalbox", "connectors", "flink_jobs", "sql")
# What starts processes and talks to people stays outside; no job imports it.
_LEFT_OUT: Final = ("signalbox/cli", "signalbox/local_stack", "signalbox/kubernetes")
_KEPT: Final = frozenset({".py", ".sql", ".lock", ".npy", ".typed"})
# One date for all: equal sources make an equal archive, whose digest can be compared.
_DATE: Final = (2020, 1, 1, 0, 0, 0)


def write_package(folder: Path, root: Path = PROJECT_ROOT) -> tuple[Path, ...]:
    """Write archive, scripts and the Kafka connector's jar into `folder`; return what was written.

    Raises:
        StackError: the jar is not in the cache and cannot be downloaded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / ARCHIVE
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in _sources(root):
            entry = zipfile.ZipInfo(str(path.relative_to(root)), _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, path.read_bytes())
    scripts = [Path(shutil.copy(root / "flink_jobs" / name, folder / name)) for name in SCRIPTS]
    return (archive, *scripts, *_connector(folder))


def _sources(root: Path) -> Iterator[Path]:
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.suffix in _KEPT and not name.startswith(_LEFT_OUT):
                yield path


def _connector(folder: Path) -> Iterator[Path]:
    for pinned, cached in zip(jars.locked("flink"), jars.ensure("flink"), strict=True):
        if pinned.artifact == CONNECTOR:
            yield Path(shutil.copy(cached, folder / pinned.file_name))
