"""The agents: a StatefulSet each, because a stable instance name is what gives a restarted one its partitions back.

Group membership is static and the transactional id stable (architecture, section 8): a Deployment's pods get new names, so
their partitions would wait for the dead ones' sessions, and nobody would fence their transactions.
"""

from __future__ import annotations

from typing import Final

from signalbox.definitions.fleet import ActiveSet
from signalbox.kubernetes import access, parts
from signalbox.kubernetes.parts import HOME, NAMESPACE, Manifest, metadata, standard_labels
from signalbox.settings import Settings

_SERVICE: Final = "signalbox-agents"
_HOME_VOLUME: Final = "home"
_MAILING: Final = "agents.sdr.send_email:send"
"""The handler whose outbox holds mails for a later day."""


def workloads(definitions: ActiveSet, settings: Settings, image: str) -> list[Manifest]:
    """Return the Job that publishes the definitions, and one StatefulSet per agent."""
    return [
        _publication(definitions, settings, image),
        _service(),
        *(
            _agent(name, image, definitions.agents[name].handler.python == _MAILING, settings)
            for name in sorted(definitions.agents)
        ),
    ]


def _publication(definitions: ActiveSet, settings: Settings, image: str) -> Manifest:
    # A Job cannot be changed: other definitions are another Job.
    name = f"signalbox-definitions-{definitions.digest[:8]}"
    folders = [f"/opt/signalbox/agent_definitions/{fleet}" for fleet in settings.fleets]
    apply = " && ".join(f"signalbox agents apply {folder}" for folder in folders)
    pod = parts.pod(access.OPERATOR, image, ["sh", "-c", apply])
    pod["spec"]["restartPolicy"] = "OnFailure"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(name),
        "spec": {"backoffLimit": 20, "template": pod},
    }


def _service() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(_SERVICE),
        # Nobody calls an agent; a StatefulSet wants a name to give its pods.
        "spec": {"clusterIP": "None", "selector": {"app.kubernetes.io/component": "agent"}},
    }


def _agent(agent: str, image: str, is_mailing: bool, settings: Settings) -> Manifest:
    name = f"agent-{agent.replace('_', '-')}"
    # An ended container is only started again, so a removed agent's stays until its StatefulSet is taken away.
    command = [
        *("python", "-m", "agents", agent),
        *("--instance", "$(POD_INDEX)", "--when-removed", "wait"),
    ]
    pod = parts.pod(access.AGENTS, image, command)
    labels = standard_labels(name, **{"app.kubernetes.io/component": "agent"})
    pod["metadata"] = {"labels": labels, "annotations": parts.scraped_at(parts.METRICS_PORT)}
    container = pod["spec"]["containers"][0]
    index = "metadata.labels['apps.kubernetes.io/pod-index']"
    container["env"].insert(
        0, {"name": "POD_INDEX", "valueFrom": {"fieldRef": {"fieldPath": index}}}
    )
    parts.answer_prometheus(container)
    if is_mailing and settings.smtp.host is not None:
        # Mails for a later day lie in this pod's own outbox.
        run = ["signalbox", "outbox", "run"]
        pod["spec"]["containers"].append(parts.container("due-mails", access.AGENTS, image, run))
        parts.mail_secret(pod)
    for one in pod["spec"]["containers"]:
        one["volumeMounts"].append({"name": _HOME_VOLUME, "mountPath": HOME})
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            # At most as many as the topic has partitions; the outbox of sent mails is each pod's own.
            "replicas": 1,
            "serviceName": _SERVICE,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": pod,
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": _HOME_VOLUME},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": "1Gi"}},
                    },
                }
            ],
        },
    }
