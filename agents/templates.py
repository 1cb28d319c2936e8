"""Text from templates: jinja2 in its immutable sandbox, no globals, a missing value is an error.

Templates come from definitions and from our own modules; data is only ever a value in them and is never compiled.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from jinja2 import StrictUndefined, Template
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from signalbox.errors import TerminalError

MAX_RENDERED_CHARS: Final = 64 * 1024

_ENVIRONMENT: Final = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
)
_ENVIRONMENT.globals.clear()


def render(template: str, **values: Any) -> str:
    """Render `template` with `values`.

    Raises:
        TerminalError: reason `handler_failed`: the template does not compile, names a value that is not there,
            tries to leave the sandbox, or writes more than `MAX_RENDERED_CHARS`.
    """
    try:
        text = _compiled(template).render(values)
    except (TemplateError, SecurityError, TypeError, ValueError, ArithmeticError) as error:
        msg = f"the template cannot be rendered: {error}"
        raise TerminalError(msg, reason="handler_failed") from None
    if len(text) > MAX_RENDERED_CHARS:
        msg = f"the template wrote {len(text)} characters; at most {MAX_RENDERED_CHARS} are sent"
        raise TerminalError(msg, reason="handler_failed")
    return text


@lru_cache(maxsize=512)
def _compiled(template: str) -> Template:
    return _ENVIRONMENT.from_string(template)
