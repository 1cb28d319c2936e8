"""A handler behind an HTTP endpoint: the task's envelope is POSTed, the JSON object that comes back is the reply's data.

429, 5xx and timeouts are tried again (`Retry-After` honoured), other refusals are terminal. While an endpoint is down its
tasks wait, each within its own time, and one call at a time looks whether it is back. Redirects are not followed: the
definition names the endpoint, not its answer.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import httpx
import orjson

from agents.circuit import Circuit
from agents.result import HandlerResult, Reply, Retry, Terminal
from agents.task import Context, Task
from connectors.model_errors import retry_after_seconds
from signalbox.definitions.specs import HttpSpec
from signalbox.errors import ConfigurationError
from signalbox.topics import MAX_ADMITTED_BYTES

_SECRET: Final = re.compile(r"\$\{(SIGNALBOX_HANDLER_[A-Z0-9_]+)\}")
_RETRYABLE_STATUSES: Final = frozenset({408, 409, 425, 429})


class HttpHandler:
    """POSTs each task to one endpoint; a connection per call, closed with it."""

    def __init__(self, spec: HttpSpec, *, timeout_seconds: float) -> None:
        """Prepare calls to `spec.url`.

        A header's `${SIGNALBOX_HANDLER_…}` is replaced from the environment, so that a secret is in no definition.

        Raises:
            ConfigurationError: a header names a variable that is not set.
        """
        self._url = spec.url
        self._timeout_seconds = timeout_seconds
        self._headers = {name: _with_secrets(name, value) for name, value in spec.headers.items()}
        self._circuit: Circuit | None = None

    async def __call__(self, task: Task, context: Context) -> HandlerResult:
        """Answer `task` with what the endpoint says.

        Delivery: at least once; the endpoint sees the task's id in the envelope and as `Idempotency-Key`.
        """
        # The clock comes with the task.
        circuit = self._circuit = self._circuit or Circuit(context.now)
        is_probe: bool | None = None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                is_probe = await circuit.enter()
                status, headers, body = await self._post(task)
        except TimeoutError:
            if is_probe is None:
                return Retry(detail=f"{self._url} is down: it is not asked until it answers again")
            circuit.failed(is_probe=is_probe)
            return Retry(detail=f"{self._url} did not answer within {self._timeout_seconds} s")
        except httpx.HTTPError as error:
            circuit.failed(is_probe=bool(is_probe))
            return Retry(detail=f"{self._url}: {type(error).__name__} {error}".strip())
        except BaseException:
            circuit.released(is_probe=bool(is_probe))
            raise
        if status >= 500:
            circuit.failed(is_probe=is_probe)
        else:
            circuit.succeeded()
        return self._read(status, headers, body)

    async def _post(self, task: Task) -> tuple[int, Mapping[str, str], bytes]:
        headers = {
            "content-type": "application/cloudevents+json",
            "idempotency-key": task.id,
            **self._headers,
        }
        async with (
            httpx.AsyncClient(verify=_ssl_context(), timeout=None) as client,
            client.stream(
                "POST", self._url, content=task.envelope.to_json(), headers=headers
            ) as response,
        ):
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ADMITTED_BYTES:
                    break
            return response.status_code, response.headers, bytes(body)

    def _read(self, status: int, headers: Mapping[str, str], body: bytes) -> HandlerResult:
        if status in _RETRYABLE_STATUSES or status >= 500:
            delay_seconds = retry_after_seconds(headers.get("retry-after"))
            return Retry(delay_seconds, f"{self._url} answered HTTP {status}")
        if not 200 <= status < 300:
            return Terminal("handler_failed", f"{self._url} answered HTTP {status}")
        if len(body) > MAX_ADMITTED_BYTES:
            return Terminal(
                "output_contract_violated",
                f"{self._url} answered with more than {MAX_ADMITTED_BYTES} bytes",
            )
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return Terminal("output_contract_violated", f"{self._url} answered no JSON: {error}")
        if not isinstance(data, dict):
            return Terminal(
                "output_contract_violated",
                f"{self._url} answered a JSON {type(data).__name__}; an object is needed",
            )
        return Reply(data=data)


def _with_secrets(header: str, value: str) -> str:
    def read(match: re.Match[str]) -> str:
        secret = os.environ.get(match.group(1))
        if secret is None:
            msg = f"header {header!r} needs {match.group(1)}, which is not set in the environment"
            raise ConfigurationError(msg)
        return secret

    return _SECRET.sub(read, value)


@lru_cache(maxsize=1)
def _ssl_context() -> ssl.SSLContext:
    # Reading the certificate store costs tens of milliseconds; once is enough.
    return httpx.create_ssl_context()
