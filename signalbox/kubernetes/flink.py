"""The jobs for Flink's Kubernetes operator: one application cluster each, state in a volume, upgrades by savepoint."""

from __future__ import annotations

from typing import Final

from signalbox.kubernetes import access, parts
from signalbox.kubernetes.parts import HOME, Manifest, metadata
from signalbox.local_stack import flink_config
from signalbox.local_stack.flink_config import ClusterAddress, cluster_options
from signalbox.local_stack.jobs import LEADS_FILE
from signalbox.settings import Settings

API: Final = "flink.apache.org/v1beta1"
FLINK_VERSION: Final = "v2_3"
"""Its operator must list it: the releases up to 1.15.0 do not, its main branch (1.16) does."""

STATE_CLAIM: Final = "signalbox-flink-state"
STATE_FOLDER: Final = f"{HOME}/flink-state"
PYTHON: Final = "/usr/local/bin/python"
_SCRIPTS: Final = "/opt/signalbox/flink_jobs"
_DRIVER: Final = "org.apache.flink.client.python.PythonDriver"
_STATE_VOLUME: Final = "flink-state"

# The operator and Kubernetes decide these: addresses, ports, memory (from `resource`), slots.
_NOT_OURS: Final = ("jobmanager.", "taskmanager.", "rest.", "parallelism.")


def jobs(settings: Settings, image: str) -> list[Manifest]:
    """Return the volume claim of all jobs and one FlinkDeployment a job."""
    orchestrate = settings.flink.parallelism
    return [
        _state_claim(),
        _deployment("orchestrate", ["orchestrate.py"], orchestrate, settings, image),
        # SQL only, and far from the bottleneck: one subtask.
        _deployment("incoming-leads", ["run_sql.py", LEADS_FILE], 1, settings, image),
    ]


def _state_claim() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(STATE_CLAIM),
        "spec": {
            # JobManager and TaskManagers write it, on whichever nodes they are; else use an object store.
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "20Gi"}},
        },
    }


def _deployment(
    name: str, script: list[str], parallelism: int, settings: Settings, image: str
) -> Manifest:
    return {
        "apiVersion": API,
        "kind": "FlinkDeployment",
        "metadata": metadata(name),
        "spec": {
            "image": image,
            "flinkVersion": FLINK_VERSION,
            "serviceAccount": "flink",
            "flinkConfiguration": _options(name, settings),
            "logConfiguration": {"log4j-console.properties": flink_config.SERVER_LOG4J},
            # Two: the standby takes over at once, and a node may be drained.
            "jobManager": {"replicas": 2, "resource": {"cpu": 0.5, "memory": "1536m"}},
            "taskManager": {"resource": {"cpu": 1, "memory": "2048m"}},
            "podTemplate": _pod(),
            "job": {
                # The jar is a placeholder: the driver finds itself on the class path.
                "jarURI": f"local:///opt/flink/opt/flink-python-{_flink_version()}.jar",
                "entryClass": _DRIVER,
                "args": ["-pyclientexec", PYTHON, "-py", f"{_SCRIPTS}/{script[0]}", *script[1:]],
                "parallelism": parallelism,
                "state": "running",
                "upgradeMode": "savepoint",
            },
        },
    }


def _options(name: str, settings: Settings) -> dict[str, str]:
    address = ClusterAddress(
        rest_port=0, rpc_port=0, state_folder=f"{STATE_FOLDER}/{name}", python=PYTHON
    )
    flink = settings.flink.model_copy(update={"metrics_ports": str(flink_config.METRICS_PORT)})
    measured = settings.model_copy(update={"flink": flink})
    ours = {
        key: value
        for key, value in cluster_options(measured, address).items()
        if not key.startswith(_NOT_OURS)
    }
    return {
        **ours,
        "env.java.opts.all": " ".join(
            flag
            for flag in flink_config.module_flags(flink_config.wheel_folder())
            if "jdk.compiler" not in flag  # a JRE has none
        ),
        "high-availability.type": "kubernetes",
        "high-availability.storageDir": f"file://{STATE_FOLDER}/{name}/high-availability",
        "taskmanager.numberOfTaskSlots": "1",
        # An upgrade whose new version does not come up goes back to the last one that did.
        "kubernetes.operator.deployment.rollback.enabled": "true",
        "kubernetes.operator.periodic.savepoint.interval": "6 h",
        "kubernetes.operator.savepoint.history.max.count": "10",
        # Python workers live beside the JVM, in the overhead's share of the container.
        "taskmanager.memory.managed.fraction": "0.3",
        "taskmanager.memory.jvm-metaspace.size": "256m",
        **settings.flink.conf,
    }


def _pod() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "pod-template",
            "annotations": parts.scraped_at(flink_config.METRICS_PORT),
        },
        "spec": {
            "securityContext": parts.pod_security(),
            "containers": [
                {
                    "name": "flink-main-container",
                    "securityContext": parts.container_security(),
                    "ports": [{"name": "metrics", "containerPort": flink_config.METRICS_PORT}],
                    **parts.environment(access.JOBS),
                    "volumeMounts": [
                        *parts.secret_mounts(),
                        {"name": _STATE_VOLUME, "mountPath": STATE_FOLDER},
                    ],
                }
            ],
            "volumes": [
                *parts.secret_volumes(access.JOBS),
                {"name": _STATE_VOLUME, "persistentVolumeClaim": {"claimName": STATE_CLAIM}},
            ],
        },
    }


def _flink_version() -> str:
    (jar,) = (flink_config.wheel_folder() / "opt").glob("flink-python-*.jar")
    return jar.stem.removeprefix("flink-python-")
