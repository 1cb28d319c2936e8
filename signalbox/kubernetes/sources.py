"""The lead source that the settings ask for: one pod, because two of one name fence each other."""

from __future__ import annotations

from typing import Final

from signalbox.kubernetes import access, parts
from signalbox.kubernetes.parts import Manifest, metadata, standard_labels
from signalbox.settings import Settings

_NAME: Final = "source-mongodb"
MONGODB_SECRET: Final = "signalbox-mongodb"
MONGODB_URI: Final = "uri"
_ADDRESS: Final = "/etc/signalbox/mongodb"


def workloads(settings: Settings, image: str) -> list[Manifest]:
    """Return a Deployment for the MongoDB source where it is set.

    A drop folder has none: who puts files there, and how, is not ours to know.
    """
    return [_mongodb(image)] if settings.mongodb.is_set else []


def _mongodb(image: str) -> Manifest:
    pod = parts.pod(access.SOURCES, image, ["signalbox", "source", "mongodb"])
    pod["metadata"] = {"labels": standard_labels(_NAME)}
    container = pod["spec"]["containers"][0]
    address = {"name": "SIGNALBOX_MONGODB__URI_FILE", "value": f"{_ADDRESS}/{MONGODB_URI}"}
    container["env"].append(address)
    container["volumeMounts"].append(parts.secret_mount("mongodb", _ADDRESS))
    # Its address may contain a password.
    secret = parts.secret_volume("mongodb", MONGODB_SECRET, MONGODB_URI, optional=False)
    pod["spec"]["volumes"].append(secret)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(_NAME),
        "spec": {
            "replicas": 1,
            # The old one ends first: it would only be fenced.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"app.kubernetes.io/name": _NAME}},
            "template": pod,
        },
    }
