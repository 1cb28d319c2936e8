"""All manifests as files, in the order in which they are applied. `python -m signalbox.kubernetes` writes those of the repository."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import walk_tree

from signalbox.definitions.fleet import ActiveSet
from signalbox.kubernetes import agents, flink, gateway, kafka, parts, sources
from signalbox.kubernetes.parts import Manifest
from signalbox.local_stack.fleets import load_fleets
from signalbox.settings import Settings

DEFAULT_IMAGE: Final = "signalbox:local"

HEADER: Final = """\
# {what}
# Written by `signalbox deploy kubernetes` from the topics, definitions and settings; docs/deployment.md says how to use it.
"""


def manifests(
    settings: Settings, definitions: ActiveSet, image: str = DEFAULT_IMAGE
) -> dict[str, tuple[str, list[Manifest]]]:
    """Return file name → what it is and its objects; a file without any is left out."""
    made = {
        "10-kafka.yaml": ("Kafka for Strimzi: the cluster and its nodes.", kafka.cluster()),
        "20-topics.yaml": (
            "Every topic, from signalbox/topics.py and the agents.",
            kafka.topics(settings, definitions.agents),
        ),
        "21-users.yaml": (
            "Who may do what, from signalbox/kubernetes/access.py; passwords are made by Strimzi.",
            kafka.users(settings),
        ),
        "30-settings.yaml": (
            "The settings that all processes share.",
            [parts.settings_map(settings)],
        ),
        "40-jobs.yaml": (
            "The jobs for Flink's Kubernetes operator, of a release that lists Flink 2.3.",
            flink.jobs(settings, image),
        ),
        "50-agents.yaml": (
            "The definitions, and one StatefulSet per agent.",
            agents.workloads(definitions, settings, image),
        ),
        "60-sources.yaml": ("The lead source.", sources.workloads(settings, image)),
        "70-gateway.yaml": (
            "The HTTP gateway with its read model; it wants a Secret with API keys.",
            gateway.workloads(settings, image),
        ),
    }
    return {name: (what, objects) for name, (what, objects) in made.items() if objects}


def render(what: str, objects: list[Manifest]) -> str:
    """Return one file's text."""
    yaml = YAML()
    yaml.explicit_start = True
    yaml.width = 200
    yaml.indent(mapping=2, sequence=4, offset=2)
    # The same list in two places would come out as an anchor, which some tools do not read.
    yaml.representer.ignore_aliases = lambda _: True
    out = io.StringIO()
    for one in objects:
        walk_tree(one)  # texts of several lines stay readable
        yaml.dump(one, out)
    return HEADER.format(what=what) + out.getvalue()


def write_manifests(
    folder: Path, settings: Settings, *, image: str = DEFAULT_IMAGE
) -> tuple[Path, ...]:
    """Write every file into `folder` and return the paths.

    Raises:
        DefinitionError: a definition is wrong.
        ConfigurationError: a fleet of the settings does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (what, objects) in manifests(settings, load_fleets(settings), image).items():
        path = folder / name
        path.write_text(render(what, objects), encoding="utf-8")
        written.append(path)
    return tuple(written)
