"""The page of avoided defects: its rows are only worth something while the tests they name exist."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_every_test_named_on_the_page_exists():
    """Each test that docs/defects-avoided.md names is defined in the suite."""
    page = (REPOSITORY / "docs" / "defects-avoided.md").read_text()
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", page))
    defined = {
        name
        for path in (REPOSITORY / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_[a-z0-9_]+)\(", path.read_text())
    }

    assert len(named) > 20
    assert named <= defined
