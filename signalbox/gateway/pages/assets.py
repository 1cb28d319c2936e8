"""The pages' own files: styles, scripts, icon. Named with what is in them, so that a browser may keep them for good."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from fastapi import APIRouter
from starlette.responses import Response

from signalbox.gateway.problems import NotFoundError

router: Final = APIRouter(include_in_schema=False)
PLACE: Final = "/ui/static"
_KINDS: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOREVER: Final = "public, max-age=31536000, immutable"


class _Asset(NamedTuple):
    body: bytes
    kind: str
    url: str


def _read() -> dict[str, _Asset]:
    found = {}
    for path in sorted((Path(__file__).parent / "static").iterdir()):
        if path.suffix in _KINDS:
            body = path.read_bytes()
            url = f"{PLACE}/{path.name}?v={sha256(body).hexdigest()[:12]}"
            found[path.name] = _Asset(body, f"{_KINDS[path.suffix]}; charset=utf-8", url)
    return found


ASSETS: Final = _read()


def asset_url(name: str) -> str:
    """Return a file's address; it changes with what is in it."""
    return ASSETS[name].url


@router.get(f"{PLACE}/{{name}}")
async def get_asset(name: str) -> Response:
    """Return one of the pages' files."""
    asset = ASSETS.get(name)
    if asset is None:
        msg = f"no file {name!r:.80}"
        raise NotFoundError(msg, "load the page again")
    return Response(asset.body, 200, {"content-type": asset.kind, "cache-control": _FOREVER})
