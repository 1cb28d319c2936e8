"""One YAML file, read safely: plain data, and the line and column of every part of it.

YAML 1.2 by a pure-Python safe loader: no tags that run code, no duplicate keys, aliases, size and depth capped before
anything is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.tokens import (
    AliasToken,
    BlockEndToken,
    BlockMappingStartToken,
    BlockSequenceStartToken,
    FlowMappingEndToken,
    FlowMappingStartToken,
    FlowSequenceEndToken,
    FlowSequenceStartToken,
    TagToken,
)

from signalbox.definitions.problem_words import explain, kind_of
from signalbox.definitions.schema_check import SchemaProblem
from signalbox.errors import DefinitionError

MAX_FILE_BYTES: Final = 256 * 1024
MAX_ALIASES: Final = 50
MAX_DEPTH: Final = 60
MAX_NUMBER_BITS: Final = 64

_OPENS: Final = (
    BlockMappingStartToken,
    BlockSequenceStartToken,
    FlowMappingStartToken,
    FlowSequenceStartToken,
)
_CLOSES: Final = (BlockEndToken, FlowMappingEndToken, FlowSequenceEndToken)

M = TypeVar("M", bound=BaseModel)
Loc = Sequence[str | int]


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A file that holds a mapping. `plain` is its data; `place` finds a part of it again."""

    path: Path
    plain: dict[str, Any]
    _tree: CommentedMap

    @classmethod
    def read(cls, path: Path, max_bytes: int = MAX_FILE_BYTES) -> YamlFile:
        """Read and parse `path`, which has at most `max_bytes`.

        Raises:
            DefinitionError: at the place that is no YAML, or not allowed in a definition.
        """
        tree = _parse(path, _text(path, max_bytes))
        return cls(path, _plain(tree, path), tree)

    @classmethod
    def of_text(cls, path: Path, text: str) -> YamlFile:
        """Parse `text`, of at most `MAX_FILE_BYTES`, which came from elsewhere; `path` is what errors call it.

        Raises:
            DefinitionError: at the place that is no YAML, or not allowed in a definition.
        """
        tree = _parse(path, text)
        return cls(path, _plain(tree, path), tree)

    def place(self, *loc: str | int) -> tuple[int, int]:
        """Return line and column (from 1) of the deepest part of `loc` that is in the file."""
        return _place(self._tree, loc)

    def key_lines(self) -> dict[str, int] | None:
        """Return the line (from 0) of every key of the file's mapping; None where that is written in braces."""
        if self._tree.fa.flow_style():
            return None
        return {key: self._tree.lc.key(key)[0] for key in self._tree}

    def error(self, loc: Loc, problem: str, hint: str) -> DefinitionError:
        """Return the error that points at `loc`."""
        return DefinitionError(self.path, *self.place(*loc), problem, hint)

    def validated(self, model: type[M], plain: Any) -> M:
        """Return `plain` (this file's data, references resolved) as `model`.

        Raises:
            DefinitionError: at the first wrong value.
        """
        try:
            return model.model_validate(plain)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            problem, hint = explain(first, model)
            raise self.error((*first["loc"], *_deeper(first)), problem, hint) from None


def _text(path: Path, max_bytes: int) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except OSError as error:
        raise DefinitionError(
            path, 1, 1, f"cannot be read: {error.strerror}", "check the path"
        ) from None
    if len(raw) > max_bytes:
        raise DefinitionError(
            path,
            1,
            1,
            f"{path.stat().st_size} bytes",
            f"a definition has at most {max_bytes}; say less, or share schemas in fleet.yaml",
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DefinitionError(
            path, line, 1, f"byte {error.start} is not UTF-8", "save the file as UTF-8"
        ) from None


def _parse(path: Path, text: str) -> CommentedMap:
    _refuse_bombs(path, text)
    yaml = YAML(typ="rt", pure=True)
    yaml.allow_duplicate_keys = False
    try:
        tree = yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = " ".join(str(error.problem or "not YAML").split())
        raise DefinitionError(path, line, column, problem, "fix the YAML here") from None
    except (YAMLError, ValueError, RecursionError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise DefinitionError(path, 1, 1, f"not YAML: {first_line}", "fix the YAML") from None
    if not isinstance(tree, CommentedMap):
        hint = "start with `name: …`; a list of agents, which `eval` takes, stands under `agents:`"
        raise DefinitionError(path, 1, 1, f"a mapping is needed, got {kind_of(tree)}", hint)
    return tree


def _refuse_bombs(path: Path, text: str) -> None:
    # Counted on the token stream, before anything is built: nine lines of nested aliases make a billion nodes.
    if not _may_be_a_bomb(text):
        return
    aliases = depth = 0
    try:
        for token in YAML(typ="rt", pure=True).scan(text):
            depth += isinstance(token, _OPENS) - isinstance(token, _CLOSES)
            aliases += isinstance(token, AliasToken)
            problem = None
            if isinstance(token, TagToken):
                problem = "a YAML tag (!…)", "definitions are plain data; leave the tag out"
            elif aliases > MAX_ALIASES:
                problem = f"more than {MAX_ALIASES} aliases", "write the values out"
            elif depth > MAX_DEPTH:
                problem = f"nested deeper than {MAX_DEPTH}", "flatten it, or use $defs in a schema"
            if problem:
                mark = token.start_mark
                raise DefinitionError(path, mark.line + 1, mark.column + 1, *problem)
    except (YAMLError, ValueError):
        return  # the parser reports it, with its place


def _may_be_a_bomb(text: str) -> bool:
    """Say whether `text` has what it takes; most files do not, and reading their tokens is half the work."""
    is_deep = text.count("[") + text.count("{") > MAX_DEPTH or " " * MAX_DEPTH in text
    return is_deep or any(sign in text for sign in ("!", "*", "- " * MAX_DEPTH, "? " * MAX_DEPTH))


def _plain(node: Any, path: Path, around: tuple[int, ...] = ()) -> Any:
    """Turn ruamel's round-trip nodes into plain Python values, so that pydantic and digests see only data."""
    if id(node) in around:
        line, column = _begin(node)
        raise DefinitionError(path, line, column, "a value that holds itself", "write it out")
    inside = (*around, id(node))
    if isinstance(node, CommentedMap):
        _refuse_endless((*node, *node.values()), node, path)
        return {key: _plain(value, path, inside) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        _refuse_endless(node, node, path)
        return [_plain(value, path, inside) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (str, int, float):
        if isinstance(node, kind):
            return kind(node)
    return node


def _refuse_endless(values: Iterable[Any], node: CommentedMap | CommentedSeq, path: Path) -> None:
    """Refuse numbers that JSON does not have, and that an error could not show: Python writes none of over 4300 digits."""
    if any(isinstance(one, int) and one.bit_length() > MAX_NUMBER_BITS for one in values):
        problem = f"a number here has more than {MAX_NUMBER_BITS} bits"
        raise DefinitionError(path, *_begin(node), problem, "write it as a text")


def _begin(node: CommentedMap | CommentedSeq) -> tuple[int, int]:
    return node.lc.line + 1, node.lc.col + 1


def _place(tree: Any, loc: Loc) -> tuple[int, int]:
    line, column = 1, 1
    node = tree
    for part in loc:
        if isinstance(node, CommentedMap) and part in node:
            line, column = (n + 1 for n in node.lc.value(part))
            if isinstance(node[part], CommentedMap | CommentedSeq):
                line, column = (n + 1 for n in node.lc.key(part))
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line, column = (n + 1 for n in node.lc.item(part))
        else:
            break
        node = node[part]
    return line, column


def _deeper(error: Any) -> Loc:
    """Return the way from a schema to what is wrong inside it, where the check of the schema says so."""
    cause = error.get("ctx", {}).get("error")
    return cause.path if isinstance(cause, SchemaProblem) else ()
