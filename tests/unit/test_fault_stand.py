"""The stand of the fault runs: what fails while it starts is said at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from signalbox.errors import StackError
from signalbox.local_stack import api
from tests.faults.stand import Stand, standing


@pytest.mark.timeout(60)
def test_stand_says_at_once_why_up_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `up` that fails in its thread is the error of the run; nobody waits for topics that never come."""

    def fail(*_: Any, **__: Any) -> bool:
        msg = "port 9092 for Kafka is taken"
        raise StackError(msg)

    monkeypatch.setattr(api, "up", fail)

    with pytest.raises(StackError, match="is taken"), standing(tmp_path):
        pass


@pytest.mark.timeout(60)
def test_stand_says_why_up_failed_after_topics_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is where `up` fails later, once the fault fleet was applied."""

    def fail(*_: Any, **__: Any) -> bool:
        msg = "the job ended"
        raise StackError(msg)

    monkeypatch.setattr(api, "up", fail)
    monkeypatch.setattr(Stand, "until", lambda *_: None)
    monkeypatch.setattr(Stand, "apply", lambda *_: None)

    with pytest.raises(StackError, match="the job ended"), standing(tmp_path):
        pass
