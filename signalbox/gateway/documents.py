"""Writes docs/api: the OpenAPI document of the gateway and the AsyncAPI document of the topics; a test pins them.

`python -m signalbox.gateway.documents`. A change there is a change of a public contract: it belongs in the CHANGELOG.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from signalbox.gateway import asyncapi, openapi
from signalbox.gateway.app import create_app
from signalbox.gateway.server import parts_of
from signalbox.settings import Settings

FOLDER: Final = Path("docs/api")


def documents() -> dict[str, dict[str, Any]]:
    """Return file name → document."""
    app = create_app(parts_of(Settings.model_construct()))
    return {"openapi.json": openapi.document(app), "asyncapi.json": asyncapi.document()}


def text_of(document: dict[str, Any]) -> str:
    """Return a document as it stands in its file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def write_all(folder: Path = FOLDER) -> None:
    """Write every document to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents().items():
        (folder / name).write_text(text_of(document), encoding="utf-8")


if __name__ == "__main__":
    write_all()
