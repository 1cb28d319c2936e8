"""Makes a strict JSON Schema of a custom resource definition: `python from_crds.py CRD.yaml NAME [VERSION]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

CORE = frozenset({"podTemplate"})
DROPPED = frozenset({"template", "cruiseControl", "kafkaExporter"})
PROSE = frozenset({"description", "default", "example"})
KEPT = frozenset({"x-kubernetes-preserve-unknown-fields"})


def strict(node: Any, *, is_map_of_names: bool = False) -> Any:
    """Return a schema without prose in which a field that is not listed is an error."""
    if isinstance(node, list):
        return [strict(one) for one in node]
    if not isinstance(node, dict):
        return node
    if is_map_of_names:
        return {
            name: True if name in CORE else strict(schema)
            for name, schema in node.items()
            if name not in DROPPED
        }
    made = {
        key: strict(value, is_map_of_names=key == "properties")
        for key, value in node.items()
        if key not in PROSE and (not key.startswith("x-kubernetes-") or key in KEPT)
    }
    if node.get("x-kubernetes-int-or-string"):
        made.pop("anyOf", None)
        made["type"] = ["integer", "string"]
    is_open = made.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in made
    if "properties" in made and not is_open:
        made["additionalProperties"] = False
    return made


def main(source: str, name: str, version: str | None = None) -> None:
    """Write `<name>.json` beside this file."""
    crd = YAML(typ="safe", pure=True).load(Path(source).read_text("utf-8"))["spec"]
    found = next(one for one in crd["versions"] if version in {None, one["name"]})
    schema = strict(found["schema"]["openAPIV3Schema"])
    schema["properties"].pop("status", None)
    schema["properties"] |= {
        "metadata": True,
        "apiVersion": {"const": f"{crd['group']}/{found['name']}"},
        "kind": {"const": crd["names"]["kind"]},
    }
    schema["required"] = sorted(
        {*schema.get("required", ()), "apiVersion", "kind", "metadata", "spec"}
    )
    text = json.dumps(schema, indent=1, sort_keys=True)
    Path(__file__).with_name(f"{name}.json").write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
