"""The Flink cluster: a JobManager and a TaskManager out of the apache-flink wheel, and the client that talks to them.

Nothing is written into the wheel: configuration, the class path (a folder of links) and logs live under the stack's home.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flink_jobs.execution_mode import python_path
from signalbox.local_stack import flink_config
from signalbox.local_stack.flink_config import ClusterAddress, cluster_options
from signalbox.local_stack.flink_rest import FlinkRest
from signalbox.local_stack.java import Java, native_memory_environ
from signalbox.local_stack.ports import LOOPBACK, is_listening
from signalbox.local_stack.process import ProcessSpec
from signalbox.settings import Settings

_JOBMANAGER_CLASS: Final = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASKMANAGER_CLASS: Final = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
_CLIENT_CLASS: Final = "org.apache.flink.client.cli.CliFrontend"
_SQL_CLIENT_CLASS: Final = "org.apache.flink.table.client.SqlClient"
_SQL_GATEWAY_CLASS: Final = "org.apache.flink.table.gateway.SqlGateway"

# The names Flink's own scripts look for.
_SERVER_LOG4J: Final = "log4j-console.properties"
_CLIENT_LOG4J: Final = "log4j-cli.properties"


@dataclass(frozen=True)
class ClusterPlan:
    """Where the cluster keeps its files, where it listens, what runs it.

    `extra_jars` are those the wheel lacks (the Kafka connector, the SQL gateway); `environ` is given to the
    TaskManager and to job submissions, so that our settings reach the Python workers.
    """

    folder: Path
    logs: Path
    settings: Settings
    rest_port: int
    rpc_port: int
    java: Java
    extra_jars: Sequence[Path]
    environ: Mapping[str, str] = field(default_factory=dict)
    shared_state: Path | None = None
    host: str = LOOPBACK
    bind_host: str = LOOPBACK
    taskmanager_host: str = LOOPBACK

    @property
    def rest_url(self) -> str:
        """The JobManager's REST address and web page."""
        return f"http://{self.host}:{self.rest_port}"

    @property
    def state_folder(self) -> Path:
        """Where checkpoints and savepoints are: `shared_state`, where JobManager and TaskManager share a volume."""
        return self.shared_state or self.folder / "state"

    @property
    def address(self) -> ClusterAddress:
        """Where the cluster listens, for its configuration."""
        return ClusterAddress(
            rest_port=self.rest_port,
            rpc_port=self.rpc_port,
            state_folder=str(self.state_folder),
            host=self.host,
            bind_host=self.bind_host,
            taskmanager_host=self.taskmanager_host,
        )

    @property
    def savepoints(self) -> Path:
        """Where `down` leaves its savepoints."""
        return self.state_folder / "savepoints"

    @property
    def checkpoints(self) -> Path:
        """Where Flink keeps retained checkpoints, `<job id>/chk-<n>`."""
        return self.state_folder / "checkpoints"

    def flink_environ(self) -> dict[str, str]:
        """Return the environment for Flink's processes and its shell scripts (`bin/flink`, `bin/sql-client.sh`)."""
        return {
            **self.environ,
            "PYTHONPATH": python_path(),
            # A message's vector is many small products: more threads would wait for each other, and spin.
            "OPENBLAS_NUM_THREADS": "1",
            **native_memory_environ(),
            "JAVA_HOME": str(self.java.home),
            "FLINK_CONF_DIR": str(self.folder / "conf"),
            "FLINK_LIB_DIR": str(self.folder / "lib"),
            "FLINK_OPT_DIR": str(self.folder / "opt"),
            "FLINK_PLUGINS_DIR": str(flink_config.wheel_folder() / "plugins"),
            "FLINK_LOG_DIR": str(self.logs),
            "FLINK_PID_DIR": str(self.folder),
        }


def prepare(plan: ClusterPlan) -> None:
    """Write configuration and links. Runs again at each start; what the settings say now is what counts."""
    wheel = flink_config.wheel_folder()
    link_jars(wheel, plan.extra_jars, lib=plan.folder / "lib", opt=plan.folder / "opt")
    for folder in (plan.checkpoints, plan.savepoints, plan.logs, plan.folder / "conf"):
        folder.mkdir(parents=True, exist_ok=True)
    options = cluster_options(plan.settings, plan.address) | {
        "env.java.opts.all": " ".join(flink_config.module_flags(wheel)),
        "env.log.dir": str(plan.logs),
    }
    conf = plan.folder / "conf"
    (conf / "config.yaml").write_text(flink_config.render_yaml(options), encoding="utf-8")
    (conf / _SERVER_LOG4J).write_text(flink_config.SERVER_LOG4J, encoding="utf-8")
    (conf / _CLIENT_LOG4J).write_text(flink_config.CLIENT_LOG4J, encoding="utf-8")


def link_jars(wheel: Path, extra: Sequence[Path], *, lib: Path, opt: Path) -> None:
    """Link the wheel's jars and `extra` into the folders that make the class path; other jars there are removed."""
    in_lib = [*(wheel / "lib").glob("*.jar"), *(wheel / "opt").glob("flink-python*.jar")]
    in_opt = [*(wheel / "opt").glob("*.jar")]
    for jar in extra:
        # The gateway belongs beside the SQL client; in lib it would be on every process's class path.
        (in_opt if "sql-gateway" in jar.name else in_lib).append(jar)
    _link(lib, in_lib)
    _link(opt, in_opt)


def jobmanager_spec(plan: ClusterPlan) -> ProcessSpec:
    """Return how to run the JobManager; ready once its REST API answers."""
    log = plan.logs / "jobmanager.log"
    return ProcessSpec(
        name="jobmanager",
        argv=(
            *_java(
                plan,
                f"-Xmx{flink_config.JOBMANAGER_HEAP_MB}m",
                f"-XX:MaxMetaspaceSize={flink_config.JOBMANAGER_METASPACE_MB}m",
                "-XX:+UseSerialGC",
                log=log,
            ),
            _JOBMANAGER_CLASS,
            "--configDir",
            str(plan.folder / "conf"),
        ),
        log_path=log,
        environ=plan.flink_environ(),
        ready=lambda: _has_answer(plan),
        stop_seconds=5.0,
    )


def taskmanager_spec(plan: ClusterPlan) -> ProcessSpec:
    """Return how to run a TaskManager; ready once it is registered. Each call names a new one."""
    log = plan.logs / "taskmanager.log"
    # A TaskManager that was killed stays listed until its heartbeat times out: only a new name shows the new one.
    resource_id = f"taskmanager-{uuid.uuid4().hex[:8]}"
    sizes = flink_config.TASKMANAGER_MEMORY_MB
    heap = (
        sizes["taskmanager.memory.framework.heap.size"] + sizes["taskmanager.memory.task.heap.size"]
    )
    direct = (
        sizes["taskmanager.memory.framework.off-heap.size"]
        + sizes["taskmanager.memory.task.off-heap.size"]
        + sizes["taskmanager.memory.network.max"]
    )
    return ProcessSpec(
        name="taskmanager",
        argv=(
            *_java(
                plan,
                f"-Xmx{heap}m",
                f"-XX:MaxDirectMemorySize={direct}m",
                f"-XX:MaxMetaspaceSize={sizes['taskmanager.memory.jvm-metaspace.size']}m",
                "-XX:+UseG1GC",
                log=log,
            ),
            _TASKMANAGER_CLASS,
            "--configDir",
            str(plan.folder / "conf"),
            "-D",
            f"taskmanager.resource-id={resource_id}",
        ),
        log_path=log,
        # Some of PyFlink's classes ask for a JVM of their own where they are used; in here that would be a second one, so it
        # is an error with their name instead.
        environ={**plan.flink_environ(), "PYFLINK_GATEWAY_DISABLED": "1"},
        ready=lambda: _is_registered(plan, resource_id),
        stop_seconds=5.0,
    )


def run_argv(
    plan: ClusterPlan,
    script: Path,
    *,
    restore_from: str | None = None,
    arguments: Sequence[str] = (),
) -> list[str]:
    """Return the command that submits a Python job detached: what `flink run -d -py` is, without its shell script."""
    restore = ["-s", restore_from] if restore_from else []
    run = ["run", "-d", *restore, "-py", str(script), *arguments]
    return [*_client_java(plan), _CLIENT_CLASS, *run]


def sql_client_argv(plan: ClusterPlan, *arguments: str) -> list[str]:
    """Return the command that runs Flink's SQL client against the cluster."""
    return [*_client_java(plan, *_sql_jars(plan)), _SQL_CLIENT_CLASS, *arguments]


def sql_gateway_argv(plan: ClusterPlan, port: int, log: Path) -> list[str]:
    """Return the command that runs a SQL Gateway for the cluster, listening on `port` of loopback only."""
    rest = "sql-gateway.endpoint.rest"
    return [
        *_client_java(plan, *_sql_jars(plan), log=log, log4j=_SERVER_LOG4J),
        _SQL_GATEWAY_CLASS,
        f"-D{rest}.address={LOOPBACK}",
        f"-D{rest}.bind-address={LOOPBACK}",
        f"-D{rest}.port={port}",
    ]


def _sql_jars(plan: ClusterPlan) -> list[Path]:
    return [plan.folder / "opt" / jar.name for jar in (plan.folder / "opt").glob("*sql-*.jar")]


def _client_java(
    plan: ClusterPlan,
    *extra_class_path: Path,
    log: Path | None = None,
    log4j: str = _CLIENT_LOG4J,
) -> tuple[str, ...]:
    return _java(
        plan,
        "-Xmx384m",
        "-XX:+UseSerialGC",
        # A client lives for seconds, a gateway mostly waits: the optimising compiler would cost more than it gives.
        "-XX:TieredStopAtLevel=1",
        log=log or plan.logs / "flink-client.log",
        log4j=log4j,
        extra_class_path=extra_class_path,
    )


def _java(
    plan: ClusterPlan,
    *flags: str,
    log: Path,
    log4j: str = _SERVER_LOG4J,
    extra_class_path: Sequence[Path] = (),
) -> tuple[str, ...]:
    wheel = flink_config.wheel_folder()
    jars = sorted(
        (plan.folder / "lib").glob("*.jar"), key=lambda jar: ("flink-dist" in jar.name, jar.name)
    )
    return (
        str(plan.java.executable),
        *flags,
        *plan.java.flags(),
        *_module_flags(wheel),
        "-XX:-UsePerfData",
        f"-Dlog.file={log}",
        # A native crash leaves its report beside the logs, not wherever the stack was started.
        f"-XX:ErrorFile={log.parent / 'crash-%p.log'}",
        f"-Dlog4j.configurationFile=file:{plan.folder / 'conf' / log4j}",
        "-cp",
        ":".join(str(path) for path in (*jars, *extra_class_path)),
    )


def _module_flags(wheel: Path) -> tuple[str, ...]:
    """Return Flink's module flags except those for jdk.compiler, which a JRE lacks and would warn about."""
    return tuple(flag for flag in flink_config.module_flags(wheel) if "jdk.compiler" not in flag)


def _link(folder: Path, jars: Sequence[Path]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.jar"):
        old.unlink()
    for jar in jars:
        (folder / _plain_name(jar)).symlink_to(jar)


def _plain_name(jar: Path) -> str:
    # The cache prefixes names with twelve digits of the hash; Flink's scripts look for `flink-sql-gateway*.jar`.
    prefix, dash, rest = jar.name.partition("-")
    return rest if dash and len(prefix) == 12 and not prefix.isalpha() else jar.name


def _has_answer(plan: ClusterPlan) -> bool:
    if not is_listening(plan.rest_port, plan.host):
        return False
    rest = FlinkRest(plan.rest_url)
    try:
        return "taskmanagers" in rest.overview()
    finally:
        rest.close()


def _is_registered(plan: ClusterPlan, resource_id: str) -> bool:
    if not is_listening(plan.rest_port, plan.host):
        return False
    rest = FlinkRest(plan.rest_url)
    try:
        return resource_id in rest.taskmanagers()
    finally:
        rest.close()
