"""API keys: a file of names, scopes and digests. The key itself is shown once, when it is made, and is nowhere afterwards.

A key is 256 random bits, so one round of SHA-256 keeps it as safe as a slow hash would keep a password.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from signalbox.contracts.record import Timestamp
from signalbox.errors import ConfigurationError, UsageError

PREFIX: Final = "sbx_"
_LOOK_EVERY_SECONDS: Final = 1.0

Scope = Literal["read", "send", "decide", "define"]
SCOPES: Final[dict[Scope, str]] = {
    "read": "agents, conversations, decisions, what waits, dead letters",
    "send": "messages and leads; with `read`, questions",
    "decide": "answers to what waits for a person; dead letters: replay, discard; cancelling workflows",
    "define": "definitions of agents",
}


class ApiKey(BaseModel):
    """One key: who has it, what it may do, and the SHA-256 of it in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
    scopes: frozenset[Scope]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    created_at: Timestamp


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[ApiKey, ...] = ()


def digest_of(key: str) -> str:
    """Return what is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Return the keys in a file; none where there is no file.

    Raises:
        ConfigurationError: it cannot be read, or is no file of keys.
    """
    try:
        return _File.model_validate_json(path.read_bytes()).keys
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error.errors()[0]["msg"])
        msg = f"{path} is no file of API keys ({what}); `signalbox keys create NAME --scope read` writes one"
        raise ConfigurationError(msg) from None


def add_key(path: Path, name: str, scopes: Iterable[str], at: datetime) -> str:
    """Make a key, keep its digest in the file, and return the key.

    Raises:
        UsageError: the name is taken or cannot be one, or a scope does not exist.
        ConfigurationError: the file cannot be read or written.
    """
    known = read_keys(path)
    if any(one.name == name for one in known):
        msg = f"a key {name!r} is there already; choose another name, or `signalbox keys revoke {name}` first"
        raise UsageError(msg)
    key = PREFIX + secrets.token_urlsafe(32)
    try:
        made = ApiKey.model_validate(
            {"name": name, "scopes": frozenset(scopes), "sha256": digest_of(key), "created_at": at}
        )
    except ValidationError:
        msg = f"name {name!r} or a scope of {sorted(scopes)} cannot be; scopes are {', '.join(get_args(Scope))}"
        raise UsageError(msg) from None
    _write(path, (*known, made))
    return key


def remove_key(path: Path, name: str) -> bool:
    """Take a key out of the file; return whether it was there.

    Raises:
        ConfigurationError: the file cannot be read or written.
    """
    known = read_keys(path)
    left = tuple(one for one in known if one.name != name)
    if len(left) == len(known):
        return False
    _write(path, left)
    return True


def _write(path: Path, keys: tuple[ApiKey, ...]) -> None:
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(_File(keys=keys).model_dump_json(indent=2) + "\n")
        scratch.replace(path)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}; name another in SIGNALBOX_GATEWAY__KEYS_FILE"
        raise ConfigurationError(msg) from None


@dataclass(slots=True)
class KeyRing:
    """The keys of a file by digest, read again when the file changes: a key that was revoked is refused within a second."""

    path: Path
    now: Callable[[], float]
    _keys: Mapping[str, ApiKey] | None = None
    _stamp: tuple[int, int] | None = None
    _look_at: float = 0.0

    def find(self, key: str) -> ApiKey | None:
        """Return the entry of a key; None where it is not known.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        if self._keys is None or self.now() >= self._look_at:
            self._look_at = self.now() + _LOOK_EVERY_SECONDS
            stamp = self._stamp_of_file()
            if self._keys is None or stamp != self._stamp:
                self._keys = {one.sha256: one for one in read_keys(self.path)}
                self._stamp = stamp
        # By its digest: how long a look-up takes tells nothing of a key.
        return self._keys.get(digest_of(key))

    def _stamp_of_file(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino
