"""References inside a schema: `#` and `#/$defs/name`, JSON pointers into the document itself (RFC 6901)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote


def pointer_parts(reference: str) -> tuple[str, ...] | None:
    """Return the steps of a reference into its own document; None where it points anywhere else."""
    if reference == "#":
        return ()
    if not reference.startswith("#/"):
        return None
    steps = unquote(reference[2:]).split("/")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)


def local_target(reference: str, root: Mapping[str, Any]) -> Any:
    """Return what `reference` names inside `root`; None where there is nothing, or it names another document."""
    parts = pointer_parts(reference)
    if parts is None:
        return None
    node: Any = root
    for part in parts:
        if isinstance(node, Mapping) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isascii() and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            return None
    return node
