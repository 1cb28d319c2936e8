"""One session on a SQL Gateway: statements in, rows out, over its REST API (v3). Closed with everything that still runs in it."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Literal, Self

import httpx

from signalbox.errors import StackError

RowFormat = Literal["JSON", "PLAIN_TEXT"]
"""Values as JSON has them (bytes in base64), or as Flink's own client prints them."""

FIRST_POLL_SECONDS: Final = 0.05
LONGEST_POLL_SECONDS: Final = 0.5
REQUEST_SECONDS: Final = 60.0
_MAX_COMPLAINT_LINES: Final = 8

_CAUSE: Final = re.compile(
    r"^(?:Caused by: |<Exception on server side:\s*)?[\w.$]+(?:Exception|Error): (.*?)(?=^\s*at |^\s*\.\.\. \d+ more|\Z)",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one statement answered. `rows` come page by page while they are read, and end with the session."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


class SqlSession:
    """A context manager; leaving it closes the session, which cancels what still runs.

    Args:
        url: the gateway's address.
        timeout_seconds: for everything that is asked in the session.
        row_format: how values come.
    """

    def __init__(
        self, url: str, *, timeout_seconds: float, row_format: RowFormat = "PLAIN_TEXT"
    ) -> None:
        # No proxy from the environment: this is a loopback address.
        self._client = httpx.Client(base_url=url, timeout=REQUEST_SECONDS, trust_env=False)
        self._timeout_seconds = timeout_seconds
        self._deadline = time.monotonic() + timeout_seconds
        self._row_format = row_format
        self._path = ""

    def __enter__(self) -> Self:
        opened = self._request("POST", "/v3/sessions", {"sessionName": "signalbox"})
        self._path = f"/v3/sessions/{opened['sessionHandle']}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A gateway that is gone has closed it already; one that stays would drop it after ten idle minutes.
        with contextlib.suppress(StackError):
            self._request("DELETE", self._path)
        self._client.close()

    def configure(self, statements: Iterable[str]) -> None:
        """Run statements that only prepare the session: SET, CREATE, USE.

        Raises:
            StackError: one of them is wrong, or the gateway does not answer.
        """
        for statement in statements:
            self._request("POST", f"{self._path}/configure-session", {"statement": statement})

    def ask(self, statement: str) -> Answer | None:
        """Run one statement; None where it answers nothing but OK.

        Raises:
            StackError: it is wrong, it failed (reading `rows` raises as well), or took longer than the session's time.
        """
        made = self._request("POST", f"{self._path}/statements", {"statement": statement})
        operation = f"{self._path}/operations/{made['operationHandle']}"
        pages = self._pages(f"{operation}/result/0?rowFormat={self._row_format}")
        first = next(pages)
        if first.get("resultKind") == "SUCCESS":
            return None
        columns = tuple(column["name"] for column in first["results"]["columns"])
        return Answer(columns, self._rows(first, pages, operation))

    def _rows(
        self, first: dict[str, Any], pages: Iterator[dict[str, Any]], operation: str
    ) -> Iterator[tuple[Any, ...]]:
        try:
            page: dict[str, Any] | None = first
            while page is not None:
                for row in page["results"]["data"]:
                    yield tuple(row["fields"])
                page = next(pages, None)
        finally:
            # Also where nobody reads to the end: the query stops there.
            with contextlib.suppress(StackError):
                self._request("DELETE", f"{operation}/close")

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield every page that has results, waiting for those that are not ready; the last one may be empty."""
        wait_seconds = FIRST_POLL_SECONDS
        following: str | None = path
        while following:
            page = self._request("GET", following)
            following = page.get("nextResultUri")
            if page["resultType"] != "NOT_READY":
                yield page
            if page["resultType"] == "NOT_READY" or not page["results"]["data"]:
                if time.monotonic() > self._deadline:
                    msg = (
                        f"no answer within {self._timeout_seconds:g} s; the question reads a lot, or waits for a free "
                        "task slot: look at Flink's web page"
                    )
                    raise StackError(msg)
                time.sleep(wait_seconds if following else 0)
                wait_seconds = min(LONGEST_POLL_SECONDS, wait_seconds * 1.2)
            else:
                wait_seconds = FIRST_POLL_SECONDS

    def _request(
        self, method: str, path: str, body: dict[str, str] | None = None
    ) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, json=body)
            found: dict[str, Any] = response.json() if response.content else {}
        except (httpx.HTTPError, ValueError) as error:
            msg = f"the SQL Gateway at {self._client.base_url} does not answer: {error}"
            raise StackError(msg) from error
        if response.is_error:
            trace = "\n".join(found.get("errors", ()))
            msg = f"the question failed: {complaint(trace)}"
            raise StackError(msg)
        return found


def complaint(trace: str) -> str:
    """Return what a person can use of a Java stack trace: the parser's or validator's words, else the deepest cause's."""
    messages = [message.strip() for message in _CAUSE.findall(trace)]
    if not messages:
        return trace.strip()[:500] or "no reason given"
    # Flink repeats a cause's words in the exceptions around it; the one with the place in the statement says most.
    placed = [
        message for message in messages if re.match(r"SQL (validation|parse) failed", message)
    ]
    words = (placed or messages)[-1].partition("Was expecting")[0]
    return "\n".join(line for line in words.splitlines()[:_MAX_COMPLAINT_LINES] if line.strip())
