"""Where the gateway's API keys are kept."""

from __future__ import annotations

from pathlib import Path

from signalbox.settings import Settings


def keys_file(settings: Settings) -> Path:
    """Return the file of API keys: as set, else `gateway-keys.json` in the stack's home."""
    return settings.gateway.keys_file or settings.home.absolute() / "gateway-keys.json"
