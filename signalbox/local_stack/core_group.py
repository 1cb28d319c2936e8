"""Broker, JobManager, TaskManager, and a SQL Gateway once somebody asked for one: what jobs and agents stand on."""

from __future__ import annotations

from signalbox.errors import StackError
from signalbox.local_stack import broker, flink_cluster, ports, sql_gateway
from signalbox.local_stack.child import Child
from signalbox.local_stack.layout import Layout


class CoreGroup:
    """The core's processes as children; none where somebody else runs it (`is_ours` false)."""

    def __init__(self, layout: Layout, *, is_ours: bool) -> None:
        self._layout = layout
        self.children: list[Child] = _core_children(layout) if is_ours else []

    @property
    def are_up(self) -> bool:
        """Whether all of them run."""
        return all(child.state == "running" for child in self.children)

    def is_up(self, name: str) -> bool:
        """Whether `name` runs; one that is not ours is up until it is asked."""
        return all(child.state == "running" for child in self.children if child.name == name)

    def start(self) -> None:
        """Start them. Raises StackError where a program cannot be executed or a folder prepared."""
        flink_cluster.prepare(self._layout.cluster)
        # The cluster first: formatting the broker's folder for the first time takes about as long as they do to load.
        for child in self.children[::-1]:
            if child.kind == "broker" and self._layout.broker is not None:
                broker.prepare(self._layout.broker)
            child.start()

    def refuse_broken(self) -> None:
        """Raise StackError if one ended before the stack ever ran: it has a cause that a restart keeps."""
        for child in self.children:
            if child.restarts and child.process is not None:
                raise StackError(child.process.trouble("could not be started"))

    def start_gateway_if_wanted(self) -> str | None:
        """Start a SQL Gateway once somebody asked for one, and return its address: most runs need none, and it costs 0.3 GB."""
        is_there = any(child.kind == "sql_gateway" for child in self.children)
        if is_there or not sql_gateway.is_wanted(self._layout.home):
            return None
        cluster, port = self._layout.cluster, ports.free_port()
        child = Child(
            sql_gateway.NAME, "sql_gateway", lambda: sql_gateway.gateway_spec(cluster, port)
        )
        child.start()
        self.children.append(child)
        return sql_gateway.url_of(port)


def _core_children(layout: Layout) -> list[Child]:
    cluster = layout.cluster
    children = [
        Child("jobmanager", "jobmanager", lambda: flink_cluster.jobmanager_spec(cluster)),
        Child("taskmanager", "taskmanager", lambda: flink_cluster.taskmanager_spec(cluster)),
    ]
    if (plan := layout.broker) is not None:
        children.insert(0, Child("broker", "broker", lambda: broker.spec(plan)))
    return children
