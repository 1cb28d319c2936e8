"""Add examples to a definition's file: comments and layout stay, and the file is replaced only by one that loads."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

from signalbox.definitions.loader import load_agent


def add_examples(path: Path, examples: Sequence[str]) -> int:
    """Append those of `examples` that the definition at `path` has not yet; return how many.

    Raises:
        DefinitionError: the file is wrong, before or with the new examples; it is left as it was.
    """
    known = set(load_agent(path).examples)
    new = [text for text in dict.fromkeys(examples) if text not in known]
    if not new:
        return 0
    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = 4096
    tree = yaml.load(path.read_text("utf-8"))
    tree.setdefault("examples", CommentedSeq()).extend(new)
    written = io.StringIO()
    yaml.dump(tree, written)
    # Beside the original, because schemas that the fleet shares are looked up there; not *.yaml, so nobody loads it.
    trial = path.with_suffix(".yaml.new")
    try:
        trial.write_text(written.getvalue(), "utf-8")
        load_agent(trial)
        os.replace(trial, path)  # noqa: PTH105 (atomic, and said so)
    finally:
        trial.unlink(missing_ok=True)
    return len(new)
