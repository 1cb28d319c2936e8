"""Settings as environment variables, which is how they reach the stack's processes and the jobs' Python workers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from signalbox.settings import Settings

PREFIX: Final = "SIGNALBOX_"


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the variables that make `Settings()` equal to `settings`; unset (None) values are left out."""
    found: dict[str, str] = {}
    _flatten(settings, PREFIX, found)
    return found


def inherited(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return `environ` without our own variables, so that only `environment_of` speaks for the settings."""
    return {key: value for key, value in environ.items() if not key.startswith(PREFIX)}


def _flatten(model: BaseModel, prefix: str, found: dict[str, str]) -> None:
    for name in type(model).model_fields:
        value: Any = getattr(model, name)
        key = prefix + name.upper()
        if isinstance(value, BaseModel):
            _flatten(value, f"{key}__", found)
        elif value is not None:
            found[key] = _text(value)


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value)
