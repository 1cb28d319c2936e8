"""The stack's secrets as files that only their owner reads: the model's key, the broker's password and the others.

Flink shows the options of its tables and logs the environment of its workers, and `ps` shows every process's; a path in
any of them gives nothing away.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from signalbox.settings import Settings

KEY_FILE: Final = "secrets/model_api_key"
PASSWORD_FILE: Final = "secrets/kafka_password"

_SECRETS: Final = (
    ("model", "api_key", KEY_FILE),
    ("mongodb", "uri", "secrets/mongodb_uri"),
    ("smtp", "password", "secrets/smtp_password"),
)
"""Section, setting, file under home. Each setting has a second one beside it, `<setting>_file`."""


def with_secrets_in_files(settings: Settings, home: Path) -> Settings:
    """Return `settings` with every secret in a file under `home`, mode 0600, none in a variable.

    A password file that ends with a line break, which Kafka's client would take for a part of the password, is copied
    without it. What is not set stays as it is.

    Raises:
        OSError: a file cannot be read or written.
    """
    for section, name, file in _SECRETS:
        settings = _moved(settings, section, name, (home / file).absolute())
    security = settings.kafka.security
    password = security.secret()
    if not password or not _needs_a_file(settings, password):
        return settings
    path = (home / PASSWORD_FILE).absolute()
    _replace(path, password)
    security = security.model_copy(update={"password": None, "password_file": path})
    kafka = settings.kafka.model_copy(update={"security": security})
    return settings.model_copy(update={"kafka": kafka})


def _moved(settings: Settings, section: str, name: str, path: Path) -> Settings:
    values = getattr(settings, section)
    secret = getattr(values, name)
    if secret is None or not secret.get_secret_value():
        return settings
    _replace(path, secret.get_secret_value())
    changed = values.model_copy(update={name: None, f"{name}_file": path})
    return settings.model_copy(update={section: changed})


def _needs_a_file(settings: Settings, password: str) -> bool:
    security = settings.kafka.security
    if security.password is not None or security.password_file is None:
        return True
    return security.password_file.read_text(encoding="utf-8") != password


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    # In one step: a job that is just starting reads the old one or the new one, never half of it.
    scratch.replace(path)
