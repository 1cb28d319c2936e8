"""Secrets as files that only their owner reads, instead of variables in every process's environment.

Flink and Beam log the environment of the Python workers they start, and `ps` shows it; a path in it gives nothing away.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from signalbox.settings import Settings

KEY_FILE: Final = "secrets/model_api_key"

_SECRETS: Final = (
    ("model", "api_key", KEY_FILE),
    ("mongodb", "uri", "secrets/mongodb_uri"),
    ("smtp", "password", "secrets/smtp_password"),
)
"""Section, setting, file under home. Each setting has a second one beside it, `<setting>_file`."""


def with_key_in_file(settings: Settings, home: Path) -> Settings:
    """Return `settings` with each secret moved to a file under `home`, mode 0600; what is not set stays as it is."""
    for section, name, file in _SECRETS:
        settings = _moved(settings, section, name, (home / file).absolute())
    return settings


def _moved(settings: Settings, section: str, name: str, path: Path) -> Settings:
    values = getattr(settings, section)
    secret = getattr(values, name)
    if secret is None or not secret.get_secret_value():
        return settings
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret.get_secret_value())
    changed = values.model_copy(update={name: None, f"{name}_file": path})
    return settings.model_copy(update={section: changed})
