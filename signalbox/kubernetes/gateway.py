"""The gateway: one Deployment with its read model beside it, and the Service it is called by.

Each pod has a read model of its own, made of the topics when it starts; so more replicas are possible, and none has state.
"""

from __future__ import annotations

from typing import Any, Final

from signalbox.kubernetes import access, parts
from signalbox.kubernetes.parts import HOME, Manifest, metadata, standard_labels
from signalbox.settings import Settings

NAME: Final = "signalbox-gateway"
KEYS_SECRET: Final = "signalbox-gateway-keys"
KEYS: Final = "keys.json"
_KEYS_FOLDER: Final = "/etc/signalbox/gateway"
_HOME_VOLUME: Final = "home"


def workloads(settings: Settings, image: str) -> list[Manifest]:
    """Return the Deployment and its Service; none where the gateway is switched off."""
    return [_deployment(settings, image), _service(settings)] if settings.gateway.enabled else []


def _deployment(settings: Settings, image: str) -> Manifest:
    pod = parts.pod(access.GATEWAY, image, ["python", "-m", "signalbox.gateway"])
    # The read model's; the gateway's own `/metrics` wants a key with the scope `read`, which an annotation cannot give.
    annotations = parts.scraped_at(parts.METRICS_PORT)
    pod["metadata"] = {"labels": standard_labels(NAME), "annotations": annotations}
    main = pod["spec"]["containers"][0]
    port = settings.gateway.port
    main["ports"] = [{"name": "http", "containerPort": port}]
    main["readinessProbe"] = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 5}
    # While the broker is away it answers 503 and needs no other start.
    main["livenessProbe"] = {"tcpSocket": {"port": "http"}, "periodSeconds": 10}
    read_model = parts.container(
        "read-model", access.GATEWAY, image, ["python", "-m", "signalbox.gateway.readmodel"]
    )
    parts.answer_prometheus(read_model)
    pod["spec"]["containers"].append(read_model)
    if settings.traces.endpoint is not None:
        export = ["python", "-m", "signalbox.tracing"]
        pod["spec"]["containers"].append(parts.container("traces", access.GATEWAY, image, export))
    for container in pod["spec"]["containers"]:
        container["env"] += _own_settings(settings)
        container["volumeMounts"] += [
            {"name": _HOME_VOLUME, "mountPath": HOME},
            parts.secret_mount("gateway-keys", _KEYS_FOLDER),
        ]
    pod["spec"]["volumes"] += [
        {"name": _HOME_VOLUME, "emptyDir": {}},
        parts.secret_volume("gateway-keys", KEYS_SECRET, KEYS, optional=False),
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(NAME),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
            "template": pod,
        },
    }


def _own_settings(settings: Settings) -> list[dict[str, Any]]:
    gateway = settings.gateway
    own = {
        "SIGNALBOX_GATEWAY__HOST": "0.0.0.0",
        "SIGNALBOX_GATEWAY__PORT": str(gateway.port),
        # Whoever reaches the Service is not this machine.
        "SIGNALBOX_GATEWAY__KEYLESS": "never",
        "SIGNALBOX_GATEWAY__KEYS_FILE": f"{_KEYS_FOLDER}/{KEYS}",
        "SIGNALBOX_GATEWAY__ACK_SECONDS": str(gateway.ack_seconds),
        "SIGNALBOX_GATEWAY__MAX_WAITING": str(gateway.max_waiting),
        "SIGNALBOX_GATEWAY__MAX_REQUESTS_PER_SECOND": str(gateway.max_requests_per_second),
    }
    return [{"name": name, "value": value} for name, value in own.items()]


def _service(settings: Settings) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(NAME),
        "spec": {
            "selector": {"app.kubernetes.io/name": NAME},
            "ports": [{"name": "http", "port": settings.gateway.port, "targetPort": "http"}],
        },
    }
