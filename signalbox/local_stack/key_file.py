"""The model's key as a file that only its owner reads, instead of a variable in every process's environment.

Flink and Beam log the environment of the Python workers they start, and `ps` shows it; a path in it gives nothing away.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from signalbox.settings import Settings

KEY_FILE: Final = "secrets/model_api_key"


def with_key_in_file(settings: Settings, home: Path) -> Settings:
    """Return `settings` with the key moved to a file under `home`, mode 0600; without a key they stay as they are."""
    key = settings.model.api_key
    path = (home / KEY_FILE).absolute()
    if key is None or not key.get_secret_value():
        return settings
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key.get_secret_value())
    model = settings.model.model_copy(update={"api_key": None, "api_key_file": path})
    return settings.model_copy(update={"model": model})
