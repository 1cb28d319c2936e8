"""Load definitions from YAML, safely, with errors that point at a place: `path:line:column: what, the value, what is right`.

YAML 1.2 by a pure-Python safe loader: no tags that run code, no duplicate keys, aliases and size capped before anything is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.tokens import AliasToken, TagToken

from signalbox.definitions.fleet import Fleet
from signalbox.definitions.shared_schemas import UnknownSchemaError, inline
from signalbox.definitions.specs import AgentDefinition, FleetFile
from signalbox.errors import DefinitionError

MAX_FILE_BYTES: Final = 256 * 1024
MAX_ALIASES: Final = 50
FLEET_FILE: Final = "fleet.yaml"

M = TypeVar("M", bound=BaseModel)


def load_fleet(folder: Path) -> Fleet:
    """Load `folder/fleet.yaml` and every other `*.yaml` beside it.

    Raises:
        DefinitionError: at the first file and place that is wrong.
    """
    policy_path = folder / FLEET_FILE
    if not policy_path.is_file():
        raise DefinitionError(
            policy_path,
            1,
            1,
            "no fleet.yaml in this folder",
            "a fleet needs at least `name: <fleet>`",
        )
    policy = _load(policy_path, FleetFile).policy_alone()
    agents: dict[str, AgentDefinition] = {}
    places: dict[str, Path] = {}
    for path in sorted(folder.glob("*.yaml")):
        if path.name == FLEET_FILE:
            continue
        definition = load_agent(path)
        if definition.name in agents:
            raise DefinitionError(
                path,
                1,
                1,
                f"agent {definition.name!r} is also declared in {places[definition.name]}",
                "names are unique",
            )
        agents[definition.name] = definition
        places[definition.name] = path
    if not agents:
        raise DefinitionError(
            policy_path, 1, 1, "the fleet has no agents", "add one YAML file per agent beside it"
        )
    return Fleet(policy, agents)


def load_agent(path: Path) -> AgentDefinition:
    """Load one agent definition; schemas it shares are looked up in `fleet.yaml` beside it.

    Raises:
        DefinitionError: with the line and column of the first wrong value.
    """
    tree = _parse(path)
    plain = _plain(tree)
    try:
        plain = inline(plain, _shared(path.parent))
    except UnknownSchemaError as error:
        line, column = _place(tree, error.path)
        raise DefinitionError(path, line, column, str(error), "name one of these") from None
    return _validated(path, tree, plain, AgentDefinition)


def _shared(folder: Path) -> Mapping[str, Any]:
    path = folder / FLEET_FILE
    return _load(path, FleetFile).schemas if path.is_file() else {}


def _load(path: Path, model: type[M]) -> M:
    tree = _parse(path)
    return _validated(path, tree, _plain(tree), model)


def _validated(path: Path, tree: Any, plain: Any, model: type[M]) -> M:
    try:
        return model.model_validate(plain)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        line, column = _place(tree, first["loc"])
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        problem, hint = _explain(first, where)
        raise DefinitionError(path, line, column, problem, hint) from None


def _parse(path: Path) -> Any:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DefinitionError(
            path, 1, 1, f"cannot be read: {error.strerror}", "check the path"
        ) from None
    if len(raw) > MAX_FILE_BYTES:
        raise DefinitionError(
            path, 1, 1, f"{len(raw)} bytes", f"a definition has at most {MAX_FILE_BYTES}"
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DefinitionError(
            path, line, 1, f"byte {error.start} is not UTF-8", "save the file as UTF-8"
        ) from None
    _refuse_alias_bombs(path, text)
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
        raise DefinitionError(
            path, 1, 1, f"not YAML: {str(error).splitlines()[0]}", "fix the YAML"
        ) from None
    if not isinstance(tree, CommentedMap):
        raise DefinitionError(
            path, 1, 1, f"a mapping is needed, got {type(tree).__name__}", "start with `name: …`"
        )
    return tree


def _refuse_alias_bombs(path: Path, text: str) -> None:
    # Counted on the token stream, before anything is built: nine lines of nested aliases make a billion nodes.
    scanner = YAML(typ="rt", pure=True)
    aliases = 0
    try:
        for token in scanner.scan(text):
            if isinstance(token, AliasToken):
                aliases += 1
                if aliases > MAX_ALIASES:
                    mark = token.start_mark
                    raise DefinitionError(
                        path,
                        mark.line + 1,
                        mark.column + 1,
                        f"more than {MAX_ALIASES} aliases",
                        "write the values out",
                    )
            elif isinstance(token, TagToken):
                mark = token.start_mark
                raise DefinitionError(
                    path,
                    mark.line + 1,
                    mark.column + 1,
                    "a YAML tag (!…)",
                    "definitions are plain data",
                )
    except YAMLError:
        return  # the parser reports it, with its place


def _plain(node: Any) -> Any:
    """Turn ruamel's round-trip nodes into plain Python values, so that pydantic and digests see only data."""
    if isinstance(node, CommentedMap):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (str, int, float):
        if isinstance(node, kind):
            return kind(node)
    return node


def _place(tree: Any, loc: Sequence[str | int]) -> tuple[int, int]:
    """Return line and column (from 1) of the deepest part of `loc` that is in the file."""
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


def _explain(error: Any, where: str) -> tuple[str, str]:
    kind = error["type"]
    if kind == "missing":
        return f"{where} is missing", f"add `{error['loc'][-1]}:`"
    if kind == "extra_forbidden":
        return f"{where} is not a field of a definition", "check the spelling, or remove it"
    value = repr(error.get("input"))
    shown = value if len(value) <= 80 else value[:77] + "…"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: got {shown}", message
