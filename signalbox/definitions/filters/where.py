"""The text form of a composite filter: `(type = alert AND priority > 5) OR source = monitoring`.

    expression  = conjunction *( OR conjunction )
    conjunction = negated *( AND negated )
    negated     = NOT negated / "(" expression ")" / condition
    condition   = field ( = / == / != / < / <= / > / >= ) value
                / field [NOT] IN "(" literal *( "," literal ) ")"
                / field CONTAINS literal / EXISTS field
    value       = literal / [ number "*" ] data.path
    field       = type / source / subject / priority / id / replystatus / data.path
    literal     = number / 'text' / "text" / word / true / false / null

`data.volume > 1.5 * data.avg_volume` compares two fields. `type = market.*` takes a pattern; `source = monitoring` also fits
`connector/monitoring` and `agent/monitoring`. The words in capitals may be written small.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from signalbox.definitions.filters.checks import Check, all_of, any_of, negation
from signalbox.definitions.filters.comparing import contains, equals, is_source, ordered
from signalbox.definitions.filters.event_types import TypePattern
from signalbox.definitions.filters.fields import MISSING, Field, field_of
from signalbox.definitions.filters.view import ATTRIBUTES, MessageView

MAX_WHERE_CHARS: Final = 2_000
MAX_NESTING: Final = 40
_WORDS: Final = frozenset({"AND", "OR", "NOT", "IN", "CONTAINS", "EXISTS"})
_COMPARING: Final = frozenset({"=", "==", "!=", "<", "<=", ">", ">="})
_CONSTANTS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None}
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<mark>==|!=|<=|>=|[=<>(),]|\*(?=\s|[-\d]|data\.))"
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])"
    r"|(?P<text>'[^']*'|\"[^\"]*\")"
    r"|(?P<word>[A-Za-z_*?\[][\w./:*?\[\]-]*))"
)

_Asks = Callable[[MessageView], bool]


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse_where(text: str, *, case_sensitive: bool) -> Check:
    """Compile `text`.

    Raises:
        ValueError: it is no such expression; the message says at which character.
    """
    if len(text) > MAX_WHERE_CHARS:
        msg = f"an expression of {len(text)} characters; at most {MAX_WHERE_CHARS}, so use `any` and `all` of several"
        raise ValueError(msg)
    return _Parser(_tokens(text), case_sensitive).whole()


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        token = _TOKEN.match(text, at)
        if token is None or token.lastgroup is None:
            msg = f"character {at + 1}: {text[at : at + 20].strip()!r} is not understood"
            raise ValueError(msg)
        kind, value = token.lastgroup, token[token.lastgroup]
        if kind == "word" and value.upper() in _WORDS:
            kind, value = "operator", value.upper()
        found.append(_Token(kind, value, token.start(token.lastgroup) + 1))
        at = token.end()
    found.append(_Token("end", "the end", len(text) + 1))
    return found


class _Parser:
    def __init__(self, tokens: list[_Token], case_sensitive: bool) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._case_sensitive = case_sensitive

    def whole(self) -> Check:
        check = self._expression()
        self._expect("end", None, "AND, OR or the end")
        return check

    def _expression(self) -> Check:
        parts = [self._conjunction()]
        while self._took("OR"):
            parts.append(self._conjunction())
        return any_of(parts)

    def _conjunction(self) -> Check:
        parts = [self._negated()]
        while self._took("AND"):
            parts.append(self._negated())
        return all_of(parts)

    def _negated(self) -> Check:
        self._depth += 1
        if self._depth > MAX_NESTING:
            what = f"at most {MAX_NESTING} levels of brackets and NOT"
            raise self._error(what)
        if self._took("NOT"):
            check = negation(self._negated())
        elif self._took("("):
            check = self._expression()
            self._expect("mark", ")", "`)`")
        else:
            check = self._condition()
        self._depth -= 1
        return check

    def _condition(self) -> Check:
        if self._took("EXISTS"):
            field = self._field()
            return Check(lambda view: field.read(view) is not MISSING)
        field = self._field()
        if self._took("CONTAINS"):
            return Check(contains(field, self._literal(), case_sensitive=self._case_sensitive))
        is_negated = self._took("NOT")
        if self._took("IN"):
            check = self._one_of(field)
            # A missing field is in no list and outside of none: no comparison with it holds.
            return _where_present(field, negation(check)) if is_negated else check
        operator = self._expect("mark", None, "=, !=, <, <=, >, >=, IN, CONTAINS")
        if is_negated or operator.text not in _COMPARING:
            what = "expected =, !=, <, <=, >, >=, IN or CONTAINS"
            raise self._error(what, operator)
        return self._comparison(field, operator.text)

    def _one_of(self, field: Field) -> Check:
        self._expect("mark", "(", "`(`")
        parts = [self._equality(field, self._literal())]
        while self._took(","):
            parts.append(self._equality(field, self._literal()))
        self._expect("mark", ")", "`,` or `)`")
        return any_of(parts)

    def _comparison(self, field: Field, operator: str) -> Check:
        other = self._other_field()
        if other is not None:
            factor, right = other
            return Check(
                ordered(field, operator, right, factor, case_sensitive=self._case_sensitive)
            )
        if operator in {"=", "=="}:
            return self._equality(field, self._literal())
        if operator == "!=":
            return _where_present(field, negation(self._equality(field, self._literal())))
        value = self._literal()
        return Check(ordered(field, operator, value, 1, case_sensitive=self._case_sensitive))

    def _equality(self, field: Field, value: Any) -> Check:
        if field.text == "type":
            try:
                pattern = TypePattern.of(str(value))
            except ValueError as error:
                raise self._error(str(error)) from None
            return Check(lambda view: pattern.accepts(view.type), frozenset({pattern}))
        if field.text == "source":
            return Check(is_source(str(value)))
        return Check(equals(field, value, case_sensitive=self._case_sensitive))

    def _other_field(self) -> tuple[float, Field] | None:
        """Take `1.5 * data.x` or `data.x`, where that comes next."""
        here, after = self._tokens[self._at], self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        if here.kind == "number" and after.text == "*":
            self._at += 2
            return float(here.text), self._field()
        if here.kind == "word" and here.text.startswith("data."):
            return 1, self._field()
        return None

    def _field(self) -> Field:
        token = self._expect("word", None, "a field")
        try:
            return field_of(token.text)
        except ValueError as error:
            raise self._error(str(error), token) from None

    def _literal(self) -> Any:
        token = self._tokens[self._at]
        if token.kind not in {"number", "text", "word"}:
            what = f"expected a value, got {token.text!r}"
            raise self._error(what, token)
        self._at += 1
        if token.kind == "number":
            return float(token.text) if re.search(r"[.eE]", token.text) else int(token.text)
        if token.kind == "text":
            return token.text[1:-1]
        return _CONSTANTS.get(token.text.lower(), token.text)

    def _took(self, text: str) -> bool:
        token = self._tokens[self._at]
        if token.kind in {"operator", "mark"} and token.text == text:
            self._at += 1
            return True
        return False

    def _expect(self, kind: str, text: str | None, wanted: str) -> _Token:
        token = self._tokens[self._at]
        if token.kind != kind or (text is not None and token.text != text):
            what = f"expected {wanted}, got {token.text!r}"
            raise self._error(what, token)
        self._at += 1
        return token

    def _error(self, what: str, token: _Token | None = None) -> ValueError:
        place = token or self._tokens[self._at]
        msg = f"character {place.at}: {what}; fields are data.<path>, {', '.join(ATTRIBUTES)}"
        return ValueError(msg)


def _where_present(field: Field, check: Check) -> Check:
    return Check(lambda view: field.read(view) is not MISSING and check.asks(view))
