"""The JobManager's REST API, as far as the stack needs it."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import httpx

from signalbox.errors import StackError

_POLL_SECONDS: Final = 0.1
ENDED: Final = frozenset({"FINISHED", "CANCELED", "FAILED"})


@dataclass(frozen=True, slots=True)
class FlinkJob:
    """A job as the cluster lists it; `started_at_ms` since the epoch."""

    id: str
    name: str
    state: str
    started_at_ms: int

    @property
    def is_over(self) -> bool:
        """Whether it will not run again."""
        return self.state in ENDED


def created_savepoint(cause: str) -> str | None:
    """Return the path of the savepoint that was written although the job failed while it stopped; None where none was.

    Source: Flink's StopWithSavepointStoppingException, whose message is the only place that names it.
    """
    found = re.search(r"A savepoint has been created at: file:(\S+?), but", cause)
    return found[1] if found else None


def innermost_cause(stacktrace: str) -> str:
    """Return what began it: the last `Caused by` of a Java stack trace, else its first line; at most 300 characters."""
    lines = [line.strip() for line in stacktrace.splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes or lines or [""])[-1 if causes else 0][:300]


class FlinkRest:
    """A client for one cluster. Every method raises `OSError` where nothing answers (httpx errors are converted)."""

    def __init__(self, base_url: str, *, timeout_seconds: float = 5.0) -> None:
        self.base_url = base_url
        # No proxy from the environment: this is a loopback address.
        self._client = httpx.Client(base_url=base_url, timeout=timeout_seconds, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def taskmanagers(self) -> tuple[str, ...]:
        """Return the ids of the registered TaskManagers (a dead one stays until its heartbeat times out)."""
        return tuple(item["id"] for item in self._get("/taskmanagers")["taskmanagers"])

    def overview(self) -> dict[str, Any]:
        """Return the cluster's numbers: `taskmanagers`, `slots-total`, `slots-available` and others."""
        return self._get("/overview")

    def jobs(self) -> tuple[FlinkJob, ...]:
        """Return every job the JobManager remembers, the newest first."""
        found = [
            FlinkJob(job["jid"], job["name"], job["state"], job["start-time"])
            for job in self._get("/jobs/overview")["jobs"]
        ]
        return tuple(sorted(found, key=lambda job: -job.started_at_ms))

    def all_tasks_run(self, job_id: str) -> bool:
        """Return whether every task of the job is RUNNING, which is when messages can flow."""
        vertices = self._get(f"/jobs/{job_id}")["vertices"]
        return bool(vertices) and all(vertex["status"] == "RUNNING" for vertex in vertices)

    def counter(self, job_id: str, name: str) -> int | None:
        """Return the sum over all subtasks of the counter whose last names are `name`; None where no task has one."""
        return self.sums(job_id, (name,)).get(name)

    def sums(self, job_id: str, names: Collection[str]) -> dict[str, int]:
        """Return the sums over all subtasks of the metrics whose last names are in `names`; those that no task has are left out."""
        found: dict[str, int] = {}
        for vertex in self._get(f"/jobs/{job_id}")["vertices"]:
            path = f"/jobs/{job_id}/vertices/{vertex['id']}/subtasks/metrics"
            named = {
                one["id"]: name
                for one in self._list(path)
                for name in names
                if one["id"].endswith(f".{name}")
            }
            for one in self._list(path, get=",".join(named), agg="sum") if named else ():
                name = named[one["id"]]
                found[name] = found.get(name, 0) + int(one["sum"])
        return found

    def failure(self, job_id: str) -> str:
        """Return the first lines of the job's latest exception, empty if it has none."""
        entries = self._get(f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
        return "\n".join(str(entries[0]["stacktrace"]).splitlines()[:8]) if entries else ""

    def stacktrace(self, job_id: str) -> str:
        """Return the whole Java stack trace of the job's latest exception, empty if it has none."""
        found = self._get(f"/jobs/{job_id}/exceptions")
        entries = (found.get("exceptionHistory") or {}).get("entries") or []
        # A job that failed before it had tasks has no history, only a root.
        return str(entries[0]["stacktrace"] if entries else found.get("root-exception") or "")

    def cause(self, job_id: str) -> str:
        """Return the innermost cause of the job's latest exception in one line, empty if it has none."""
        return innermost_cause(self.stacktrace(job_id))

    def checkpoint_trouble(self, job_id: str) -> str:
        """Return why the latest checkpoint failed, empty while none failed since the last completed one."""
        latest = self._get(f"/jobs/{job_id}/checkpoints").get("latest") or {}
        failed, completed = latest.get("failed") or {}, latest.get("completed") or {}
        if failed.get("id", -1) <= completed.get("id", -1):
            return ""
        return str(failed.get("failure_message") or "Flink gives no reason")

    def stop_with_savepoint(self, job_id: str, folder: str, *, timeout_seconds: float) -> str:
        """Stop a job and return the path of its savepoint.

        Raises:
            StackError: the savepoint failed or took too long; the job may still run.
            OSError: nothing answers.
        """
        answer = self._post(f"/jobs/{job_id}/stop", {"targetDirectory": folder, "drain": False})
        url = f"/jobs/{job_id}/savepoints/{answer['request-id']}"
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            found = self._get(url)
            if found["status"]["id"] == "COMPLETED":
                operation = found.get("operation") or {}
                if location := operation.get("location"):
                    return str(location).removeprefix("file:")
                cause = operation.get("failure-cause", {}).get("stack-trace", "no reason given")
                if created := created_savepoint(str(cause)):
                    # A timer of PyFlink's may fire into a task that is closing: the savepoint is whole, but Flink
                    # starts the job again. It is cancelled before it does much; what it did is in a newer checkpoint.
                    with contextlib.suppress(OSError):  # it may have ended for good already
                        self.cancel(job_id)
                    return created
                msg = f"the savepoint of job {job_id} failed: {str(cause).splitlines()[0]}"
                raise StackError(msg)
            time.sleep(_POLL_SECONDS)
        msg = f"the savepoint of job {job_id} was not ready after {timeout_seconds:g} s"
        raise StackError(msg)

    def cancel(self, job_id: str) -> None:
        """Cancel a job, without a savepoint."""
        self._request("PATCH", f"/jobs/{job_id}", params={"mode": "cancel"})

    def _get(self, path: str) -> dict[str, Any]:
        return self._request("GET", path)

    def _list(self, path: str, **parameters: str) -> list[dict[str, Any]]:
        found: Any = self._request("GET", path, params=parameters)
        return list(found) if isinstance(found, list) else []

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._request("POST", path, json=body)

    def _request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, **options)
            response.raise_for_status()
            found: dict[str, Any] = response.json() if response.content else {}
        except (httpx.HTTPError, ValueError) as error:
            msg = f"{method} {self.base_url}{path}: {error}"
            raise OSError(msg) from error
        return found
