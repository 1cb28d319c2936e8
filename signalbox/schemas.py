"""The JSON Schemas of every record and definition, generated from the models into `docs/schemas/`; a test pins them.

`python -m signalbox.schemas` writes them. A change there is a change of a public contract: it belongs in the CHANGELOG.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from signalbox.contracts.control import Pause
from signalbox.contracts.dead_letter import DeadLetter
from signalbox.contracts.dead_letter_mark import DeadLetterMark
from signalbox.contracts.decision import Decision
from signalbox.contracts.envelope import Envelope
from signalbox.contracts.events import AgentLifecycle, WorkflowEnded
from signalbox.contracts.heartbeat import Heartbeat
from signalbox.contracts.outcome import Outcome
from signalbox.contracts.registry import AgentRecord, Manifest, Retirement, WorkflowRecord
from signalbox.contracts.review import Review
from signalbox.definitions.specs import AgentDefinition, FleetFile
from signalbox.definitions.workflow import WorkflowDefinition

FOLDER: Final = Path("docs/schemas")

MODELS: Final[dict[str, type[BaseModel]]] = {
    "envelope": Envelope,
    "decision": Decision,
    "outcome": Outcome,
    "dead_letter": DeadLetter,
    "dead_letter_mark": DeadLetterMark,
    "review": Review,
    "heartbeat": Heartbeat,
    "pause": Pause,
    "workflow_ended": WorkflowEnded,
    "agent_lifecycle": AgentLifecycle,
    "agent_record": AgentRecord,
    "workflow_record": WorkflowRecord,
    "manifest": Manifest,
    "retirement": Retirement,
    "agent_definition": AgentDefinition,
    "workflow_definition": WorkflowDefinition,
    "fleet": FleetFile,
}


def schema_text(name: str) -> str:
    """Return the schema of `name` as it stands in its file."""
    schema = MODELS[name].model_json_schema(by_alias=True)
    identified = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:signalbox:{name}:1",
        **schema,
    }
    return json.dumps(identified, indent=2, ensure_ascii=False) + "\n"


def write_all(folder: Path = FOLDER) -> None:
    """Write every schema to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        (folder / f"{name}.schema.json").write_text(schema_text(name))


if __name__ == "__main__":
    write_all()
