"""A calibration kept with its fleet: the key `calibration` of a YAML file, changed without touching anything around it.

The file is edited as text, by the places that the parser knows, so comments, order and style of all the rest stay as
somebody wrote them.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from signalbox.definitions.agent_list import MAX_LIST_BYTES
from signalbox.definitions.specs import Calibration
from signalbox.definitions.yaml_file import YamlFile
from signalbox.errors import DefinitionError

_KEY: Final = "calibration"


def calibration_yaml(calibration: Calibration) -> str:
    """Return the calibration's fields as YAML, one a line."""
    stream = io.StringIO()
    yaml = YAML()
    yaml.dump(calibration.model_dump(mode="json", exclude_none=True), stream)
    return stream.getvalue()


def with_calibration(path: Path, calibration: Calibration) -> str:
    """Return the text of `path` with its key `calibration` replaced, or added at the end.

    Raises:
        DefinitionError: the file is not YAML, or is written so that the key cannot be replaced by itself.
    """
    file = YamlFile.read(path, MAX_LIST_BYTES)
    starts = file.key_lines()
    if starts is None:
        hint = "write its fields on lines of their own, or give --calibration FILE"
        raise DefinitionError(path, 1, 1, "the file is one mapping in braces", hint)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    block = [f"{_KEY}:\n", *(f"  {line}\n" for line in calibration_yaml(calibration).splitlines())]
    first, last = _place(starts, lines)
    before = lines[:first]
    if before and not before[-1].endswith("\n"):
        before[-1] += "\n"
    text = "".join([*before, *block, *lines[last:]])
    _check_only_that_changed(file, text, calibration)
    return text


def _check_only_that_changed(file: YamlFile, text: str, calibration: Calibration) -> None:
    wanted = {**file.plain, _KEY: calibration.model_dump(mode="json", exclude_none=True)}
    try:
        found = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        found = None
    if found != wanted:
        hint = f"write this into it yourself:\n{_KEY}:\n{calibration_yaml(calibration)}"
        raise DefinitionError(
            file.path, 1, 1, f"{_KEY} cannot be put into this file by itself", hint
        )


def _place(starts: Mapping[str, int], lines: list[str]) -> tuple[int, int]:
    """Return the lines [first, last) that the key and its value take; an empty place at the end where there is none."""
    if _KEY not in starts:
        return len(lines), len(lines)
    first = starts[_KEY]
    last = min((line for line in starts.values() if line > first), default=len(lines))
    # What is said above the next key belongs to that key.
    while last > first + 1 and (not lines[last - 1].strip() or lines[last - 1].startswith("#")):
        last -= 1
    return first, last
