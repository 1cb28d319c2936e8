"""`eval --fit`: the calibration fitted on labelled rows, and kept with the fleet or in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from connectors.embedders import embedder_from
from signalbox.cli import session
from signalbox.definitions.calibration_file import calibration_yaml, with_calibration
from signalbox.definitions.loader import FLEET_FILE
from signalbox.definitions.specs import Calibration
from signalbox.errors import ConfigurationError, UsageError
from signalbox.evaluation.fitting import labelled_scores
from signalbox.evaluation.rows import LabelledRow
from signalbox.matching.fit import fit
from signalbox.matching.scorer import Scorer
from signalbox.routing.rules import Rulebook
from signalbox.settings import Settings

LEXICAL: Final = "lexical"
"""The embedder of words alone; the embedded model then has a scorer of its own, with its own threshold."""


def place_of(definitions: Path, calibration: Path | None) -> Path:
    """Return the file that the fit goes to: `calibration` where it is given, else the fleet's own."""
    if calibration is not None:
        return calibration
    return definitions / FLEET_FILE if definitions.is_dir() else definitions


def fitted(
    rows: Sequence[LabelledRow],
    rulebook: Rulebook,
    base: Calibration,
    settings: Settings,
    progress: Callable[[int], None],
) -> Calibration:
    """Fit a calibration on `rows`; what is not fitted is taken from `base`.

    Raises:
        ConfigurationError: another model decides, or there is no embedder.
        UsageError: no row teaches anything.
    """
    if settings.model.provider != "embedded":
        msg = f"--fit is for the embedded model; {settings.model.provider} has no calibration. Leave --fit out"
        raise ConfigurationError(msg)
    embedder = embedder_from(settings.embedder)
    if embedder.name == LEXICAL:
        msg = (
            "--fit needs an embedder, and decisions are made by words alone here; install "
            "signalbox[semantic], or unset SIGNALBOX_EMBEDDER__PROVIDER"
        )
        raise ConfigurationError(msg)
    found = labelled_scores(rows, rulebook, Scorer(embedder).signals, progress)
    if not found:
        msg = "contracts decide every row, or none has one right answer, so there is nothing to fit"
        raise UsageError(msg)
    session.note(f"fitted on the {len(found)} of {len(rows)} rows that a model decides")
    return fit(found, base=base)


def keep(calibration: Calibration, definitions: Path, path: Path) -> None:
    """Write the calibration: into the fleet's file, or as a file of its own; whole or not at all.

    Raises:
        DefinitionError: the fleet's file cannot take it.
        OSError: the file cannot be written.
    """
    is_own = path != place_of(definitions, None)
    text = calibration_yaml(calibration) if is_own else with_calibration(path, calibration)
    # A link stays one, and a reader sees the old file or the new one.
    target = path.resolve()
    beside = target.with_name(f".{target.name}.new")
    beside.write_text(text, encoding="utf-8")
    if target.exists():
        beside.chmod(target.stat().st_mode)
    beside.replace(target)
    session.note(f"calibration written to {path}")
