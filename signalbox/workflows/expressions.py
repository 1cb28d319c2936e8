"""One `{{ … }}`: a jinja2 expression in a sandbox that sees plain data and nothing else, and cannot run for long.

No statements, calls or attributes of Python objects: `data.items` is the field `items`. Operators that multiply text or raise
to powers are for numbers, or not there; filters are those of `signalbox.workflows.filters`. Expressions come from definitions;
a message's values are never compiled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from signalbox.workflows.errors import TemplateProblem
from signalbox.workflows.filters import SAFE_FILTERS
from signalbox.workflows.references import Reference, Scope, reference_of

MAX_REFERENCES: Final = 32
"""In one expression: how often it may take up the data."""
MAX_NODES: Final = 500
"""In one expression: names, operators, constants."""
_RESULT: Final = "result"
_GUARDS: Final = frozenset({"default", "d", "defined", "undefined"})
_ALLOWED: Final = (
    nodes.Const,
    nodes.Name,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.Filter,
    nodes.Test,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Neg,
    nodes.Pos,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Mod,
    nodes.Concat,
    nodes.List,
    nodes.Tuple,
    nodes.Dict,
    nodes.Pair,
    nodes.Keyword,
    nodes.CondExpr,
)


class _DataOnly(ImmutableSandboxedEnvironment):
    """Dots and brackets find fields and items of JSON values, never what Python hangs on them."""

    intercepted_binops = frozenset({"*", "%", "/", "//", "-"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self._field(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        return self._field(obj, argument)

    def _field(self, obj: Any, key: Any) -> Any:
        if isinstance(obj, Mapping):
            is_there = isinstance(key, str) and key in obj
        elif isinstance(obj, list | str) and not isinstance(key, bool):
            if isinstance(key, slice):
                return obj[key]
            is_there = isinstance(key, int) and -len(obj) <= key < len(obj)
        else:
            is_there = False
        return obj[key] if is_there else self.undefined(obj=obj, name=key)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        for value in (left, right):
            if isinstance(value, Undefined):
                str(value)  # raises, with its name
            if isinstance(value, bool) or not isinstance(value, int | float):
                msg = f"{operator!r} is for numbers, got {value!r:.60}"
                raise TypeError(msg)
        return self.default_binop_table[operator](left, right)


_ENVIRONMENT: Final = _DataOnly(
    undefined=StrictUndefined, autoescape=False, optimized=False, keep_trailing_newline=True
)
_ENVIRONMENT.globals.clear()
_ENVIRONMENT.filters.clear()
_ENVIRONMENT.filters.update(SAFE_FILTERS)


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression and everything it refers to."""

    references: tuple[Reference, ...]
    _evaluate: Callable[[Scope], Any]

    def value(self, scope: Scope) -> Any:
        """Return what it is worth; anything may be raised where the values do not bear what is done with them."""
        return self._evaluate(scope)


def parts_of(text: str) -> tuple[str | Expression, ...]:
    """Return the texts and the expressions of a string with `{{ … }}`, in order.

    Raises:
        TemplateProblem: it is no template, or one that is not allowed.
    """
    found: list[str | Expression] = []
    for node in _parsed(text).body:
        if not isinstance(node, nodes.Output):
            msg = f"a statement ({type(node).__name__.lower()})"
            raise TemplateProblem(msg, "only `{{ … }}` is filled in, there are no `{% … %}`")
        found += [
            part.data if isinstance(part, nodes.TemplateData) else _compiled(part, text)
            for part in node.nodes
        ]
    return tuple(found)


def expression_of(text: str) -> Expression:
    """Compile a bare expression, `data.amount > 100`; `{{ … }}` around it does no harm.

    Raises:
        TemplateProblem: it is none, or one that is not allowed.
    """
    bare = text.strip()
    parts = parts_of(bare if bare.startswith("{{") else f"{{{{ {bare} }}}}")
    if len(parts) != 1 or isinstance(parts[0], str):
        msg = f"{text!r:.80} is not one expression"
        raise TemplateProblem(msg, "write something like `data.amount > 100`")
    return parts[0]


def _parsed(text: str) -> nodes.Template:
    try:
        return _ENVIRONMENT.parse(text)
    except (TemplateSyntaxError, RecursionError) as error:
        msg = f"{text!r:.80}: {error}"
        hint = "write `{{ data.<field> }}` or `{{ steps.<id>.<field> }}`"
        raise TemplateProblem(msg, hint) from None


def _compiled(node: nodes.Expr, text: str) -> Expression:
    _refuse_others(node, text)
    references = tuple(_references(node))
    if len(references) > MAX_REFERENCES:
        msg = f"{text!r:.80} refers to {len(references)} values"
        raise TemplateProblem(
            msg, f"at most {MAX_REFERENCES} in one expression; use several fields"
        )
    way = _whole_way(node)
    if way is not None:
        return Expression(references, way)
    assignment = nodes.Assign(nodes.Name(_RESULT, "store", lineno=1), node, lineno=1)
    body = nodes.Template([assignment], lineno=1)
    body.set_environment(_ENVIRONMENT)
    try:
        template = _ENVIRONMENT.from_string(body)
    except (TemplateSyntaxError, RecursionError, SyntaxError, MemoryError) as error:
        msg = f"{text!r:.80}: {error}"
        raise TemplateProblem(msg, "simplify it, or check the names of its filters") from None

    def evaluate(scope: Scope) -> Any:
        context = template.new_context(dict(scope))
        for _ in template.root_render_func(context):
            pass
        return context.vars[_RESULT]

    return Expression(references, evaluate)


def _whole_way(node: nodes.Expr) -> Callable[[Scope], Any] | None:
    """Return what walks the way that `node` is and nothing else; None where it does more.

    Most mappings are ways: walked, they cost a tenth of what a template costs, and compiling them costs nothing.
    """
    parts, _ = _chain(node)
    depth = 0
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        depth, node = depth + 1, node.node
    if depth + 1 != len(parts):
        return None

    def walk(scope: Scope) -> Any:
        value: Any = scope
        for part in parts:
            value = _ENVIRONMENT.getitem(value, part)
        return value

    return walk


def _refuse_others(node: nodes.Node, text: str) -> None:
    everything = [node, *node.find_all(nodes.Node)]
    if len(everything) > MAX_NODES:
        raise _refused(text, f"an expression of {len(everything)} parts", f"at most {MAX_NODES}")
    for one in everything:
        if isinstance(one, nodes.Call):
            raise _refused(text, "a call", f"use a filter: {', '.join(SAFE_FILTERS)}")
        if isinstance(one, nodes.Pow):
            raise _refused(text, "a power (`**`)", "multiply instead")
        if isinstance(one, nodes.CondExpr) and one.expr2 is None:
            raise _refused(text, "an `if` without `else`", "say what the value is otherwise")
        if isinstance(one, nodes.Const) and one.value in (math.inf, -math.inf):
            raise _refused(text, "a number beyond what JSON has", "write a smaller one")
        if not isinstance(one, _ALLOWED):
            raise _refused(text, type(one).__name__.lower(), "say it with operators and filters")
        if isinstance(one, nodes.Filter) and one.name not in SAFE_FILTERS:
            known = f"the filters are {', '.join(SAFE_FILTERS)}"
            raise _refused(text, f"the filter {one.name!r}", known)


def _refused(text: str, what: str, hint: str) -> TemplateProblem:
    msg = f"{text!r:.80}: {what} is not allowed"
    return TemplateProblem(msg, hint)


def _references(node: nodes.Node) -> Iterator[Reference]:
    chains = list(_chains(node, is_guarded=False))
    guarded = {parts for parts, is_guarded in chains if is_guarded}
    for parts, _ in chains:
        # `steps.a is defined and steps.a.total` provides for the second, too.
        is_guarded = any(parts[:length] in guarded for length in range(1, len(parts) + 1))
        yield reference_of(parts, is_guarded=is_guarded, is_whole=_is_chain(node))


def _chains(node: nodes.Node, *, is_guarded: bool) -> Iterator[tuple[tuple[str | int, ...], bool]]:
    """Yield every way from a name into the data, as far as it is written out, and whether its absence is provided for."""
    parts, dynamic = _chain(node)
    if parts:
        yield parts, is_guarded
        for inner in dynamic:
            yield from _chains(inner, is_guarded=False)
        return
    guards = isinstance(node, nodes.Filter | nodes.Test) and node.name in _GUARDS
    for child in node.iter_child_nodes():
        is_first = guards and child is getattr(node, "node", None)
        yield from _chains(child, is_guarded=is_first)


def _is_chain(node: nodes.Node) -> bool:
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Const):
            return False
        node = node.node
    return isinstance(node, nodes.Name)


def _chain(node: nodes.Node) -> tuple[tuple[str | int, ...], list[nodes.Node]]:
    """Return the constant way that `node` is, and what is computed on it (`data.rows[data.number]`)."""
    steps: list[str | int | None] = []
    computed: list[nodes.Node] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            steps.append(node.attr)
        elif isinstance(node.arg, nodes.Const) and type(node.arg.value) in (str, int):
            steps.append(node.arg.value)
        else:
            steps.append(None)
            computed.append(node.arg)
        node = node.node
    if not isinstance(node, nodes.Name):
        return (), []
    steps.append(node.name)
    steps.reverse()
    known = steps[: steps.index(None)] if None in steps else steps
    return tuple(part for part in known if part is not None), computed
