"""What several manifests share: names, labels, the settings as a ConfigMap, and the pod that runs the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from signalbox.local_stack.environment import environment_of
from signalbox.settings import Settings, without_secrets

Manifest = dict[str, Any]

NAMESPACE: Final = "signalbox"
KAFKA_CLUSTER: Final = "signalbox"
LISTENER_PORT: Final = 9093
BOOTSTRAP_SERVERS: Final = f"{KAFKA_CLUSTER}-kafka-bootstrap:{LISTENER_PORT}"
SETTINGS: Final = "signalbox-settings"
MODEL_SECRET: Final = "signalbox-model"
MODEL_KEY: Final = "api-key"
MAIL_SECRET: Final = "signalbox-smtp"
MAIL_PASSWORD: Final = "password"
HOME: Final = "/var/lib/signalbox"
USER_ID: Final = 10001

_PASSWORDS: Final = "/etc/signalbox/kafka-user"
_AUTHORITY: Final = "/etc/signalbox/kafka-ca"
_MODEL: Final = "/etc/signalbox/model"
_MAIL: Final = "/etc/signalbox/smtp"

# Fixed by the manifests themselves, or meaningless outside the local stack.
_NOT_SHARED: Final = (
    "SIGNALBOX_HOME",
    "SIGNALBOX_KAFKA__PORT",
    "SIGNALBOX_FLINK__REST_PORT",
    # Files of whoever writes the manifests.
    "SIGNALBOX_FOLDER__PATH",
    "SIGNALBOX_MONGODB__URI_FILE",
    "SIGNALBOX_SMTP__PASSWORD_FILE",
)
_OWN: Final = ("SIGNALBOX_KAFKA__SECURITY__", "SIGNALBOX_GATEWAY__", "SIGNALBOX_METRICS__")
"""Each user's, the gateway's alone, and fixed by the manifests."""
METRICS_PORT: Final = 9250
"""Where a container answers `/metrics`: one process has the pod's address to itself."""
DRAIN_SECONDS: Final = 30
"""A process finishes what it has before it ends."""


def metadata(name: str, **labels: str) -> Manifest:
    """Return an object's metadata; labels get the keys Kubernetes recommends."""
    return {"name": name, "namespace": NAMESPACE, "labels": standard_labels(name, **labels)}


def standard_labels(name: str, **more: str) -> dict[str, str]:
    """Return the labels by which an object is found."""
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "signalbox", **more}


def scraped_at(port: int) -> dict[str, str]:
    """Return the annotations by which Prometheus' usual Kubernetes configuration finds what a pod has to tell."""
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port),
        "prometheus.io/path": "/metrics",
    }


def answer_prometheus(container: Manifest) -> None:
    """Let a container's process answer on the pod's address; `scraped_at` tells Prometheus of it."""
    container["env"] += [
        {"name": "SIGNALBOX_METRICS__HOST", "value": "0.0.0.0"},
        {"name": "SIGNALBOX_METRICS__PORT", "value": str(METRICS_PORT)},
    ]
    container.setdefault("ports", []).append({"name": "metrics", "containerPort": METRICS_PORT})


def settings_map(settings: Settings) -> Manifest:
    """Return the ConfigMap of every setting that all processes share; secrets are files, never in it."""
    environ = environment_of(without_secrets(settings))
    shared = {
        key: value
        for key, value in environ.items()
        if key not in _NOT_SHARED and not key.startswith(_OWN)
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(SETTINGS),
        "data": {
            **shared,
            "SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS": BOOTSTRAP_SERVERS,
            "SIGNALBOX_KAFKA__SECURITY__PROTOCOL": "SASL_SSL",
            "SIGNALBOX_KAFKA__SECURITY__MECHANISM": "SCRAM-SHA-512",
            "SIGNALBOX_KAFKA__SECURITY__PASSWORD_FILE": f"{_PASSWORDS}/password",
            "SIGNALBOX_KAFKA__SECURITY__CA_FILE": f"{_AUTHORITY}/ca.crt",
            "SIGNALBOX_MODEL__API_KEY_FILE": ""
            if settings.model.provider == "embedded"
            else f"{_MODEL}/{MODEL_KEY}",
            "SIGNALBOX_SMTP__PASSWORD_FILE": f"{_MAIL}/{MAIL_PASSWORD}"
            if settings.smtp.user is not None
            else "",
        },
    }


def environment(kafka_user: str, **more: str) -> Manifest:
    """Return a container's `env` and `envFrom`: the shared settings, and who it is for Kafka."""
    own = {"SIGNALBOX_HOME": HOME, "SIGNALBOX_KAFKA__SECURITY__USERNAME": kafka_user, **more}
    return {
        "envFrom": [{"configMapRef": {"name": SETTINGS}}],
        "env": [{"name": name, "value": value} for name, value in own.items()],
    }


def secret_volumes(kafka_user: str) -> list[Manifest]:
    """Return the volumes with the user's password and the cluster's CA (Strimzi makes both), and the model's key."""
    return [
        secret_volume("kafka-user", kafka_user, "password", optional=False),
        secret_volume("kafka-ca", f"{KAFKA_CLUSTER}-cluster-ca-cert", "ca.crt", optional=False),
        # Whoever uses the embedded model has none.
        secret_volume("model", MODEL_SECRET, MODEL_KEY, optional=True),
    ]


def secret_mounts() -> list[Manifest]:
    """Return where a container finds `secret_volumes`."""
    places = {"kafka-user": _PASSWORDS, "kafka-ca": _AUTHORITY, "model": _MODEL}
    return [secret_mount(name, path) for name, path in places.items()]


def mail_secret(pod: Manifest) -> None:
    """Give every container of a pod the mail server's password, where there is one."""
    pod["spec"]["volumes"].append(secret_volume("smtp", MAIL_SECRET, MAIL_PASSWORD, optional=True))
    for container in pod["spec"]["containers"]:
        container["volumeMounts"].append(secret_mount("smtp", _MAIL))


def secret_mount(volume: str, path: str) -> Manifest:
    """Return where a container finds a `secret_volume`."""
    return {"name": volume, "mountPath": path, "readOnly": True}


def pod(kafka_user: str, image: str, command: Sequence[str]) -> Manifest:
    """Return the template of a pod that runs one command of the image as a Kafka user."""
    return {
        "spec": {
            "securityContext": pod_security(),
            "terminationGracePeriodSeconds": DRAIN_SECONDS,
            "containers": [container("main", kafka_user, image, command)],
            "volumes": secret_volumes(kafka_user),
        }
    }


def container(name: str, kafka_user: str, image: str, command: Sequence[str]) -> Manifest:
    """Return one container of such a pod."""
    return {
        "name": name,
        "image": image,
        "command": list(command),
        "workingDir": "/opt/signalbox",
        "securityContext": container_security(),
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            "limits": {"memory": "512Mi"},
        },
        **environment(kafka_user),
        "volumeMounts": secret_mounts(),
    }


def pod_security() -> Manifest:
    """Return the pod's security context: the image's user, who owns the volumes."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "fsGroup": USER_ID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """Return the container's security context."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def secret_volume(volume: str, secret: str, key: str, *, optional: bool) -> Manifest:
    """Return a volume with one key of a Secret as a file of that name."""
    source = {
        "secretName": secret,
        "items": [{"key": key, "path": key}],
        "defaultMode": 0o440,
        "optional": optional,
    }
    return {"name": volume, "secret": source}
