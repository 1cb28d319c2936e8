"""What `signalbox ask` sends: a prompt and perhaps a picture, judged before anything is sent by what will judge it then."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from signalbox.contracts.image import MAX_IMAGE_BYTES, ImageError, data_uri, image_of
from signalbox.definitions.fleet import ActiveSet
from signalbox.definitions.workflow import WorkflowDefinition
from signalbox.errors import UsageError

PROMPT_SUBMITTED: Final = "prompt.submitted"
FLEET: Final = "agent_definitions/research"


def prompt_data(prompt: str, image: Path | None) -> dict[str, Any]:
    """Return the data of a message with `prompt`, and the picture in the file `image`.

    Raises:
        UsageError: there are no words, or the file is no picture that is taken.
    """
    if not prompt.strip():
        msg = 'the prompt is empty; write what you want to know: signalbox ask "What is …?"'
        raise UsageError(msg)
    data: dict[str, Any] = {"prompt": prompt.strip()}
    if image is not None:
        data["image"] = _embedded(image)
    return data


def started_by(active: ActiveSet, data: dict[str, Any]) -> WorkflowDefinition:
    """Return the workflow that a prompt with `data` starts: of those that take it the first by name, as in the engine.

    Raises:
        UsageError: none begins with a prompt, or none takes this one.
    """
    asked = [one for one in active.workflows.values() if PROMPT_SUBMITTED in one.starts_on]
    if not asked:
        msg = (
            f"no active workflow starts on {PROMPT_SUBMITTED}; bring one in with "
            f"`signalbox agents apply {FLEET}`, or start the stack with SIGNALBOX_FLEETS=research"
        )
        raise UsageError(msg)
    for one in sorted(asked, key=lambda one: one.name):
        if one.input.contract.accepts(data):
            return one
    why = ", ".join(asked[0].input.contract.violations(data))
    msg = f"{asked[0].name} does not take this prompt: {why}"
    raise UsageError(msg)


def _embedded(path: Path) -> str:
    try:
        with path.open("rb") as file:
            # One byte more says that it is too large, however large it is.
            content = file.read(MAX_IMAGE_BYTES + 1)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}; give the file of a picture"
        raise UsageError(msg) from None
    try:
        if len(content) > MAX_IMAGE_BYTES:
            msg = f"more than {MAX_IMAGE_BYTES} bytes; make it smaller"
            raise ImageError(msg)  # noqa: TRY301 (one way out for all that is wrong with a file)
        return data_uri(image_of(content))
    except ImageError as error:
        msg = f"{path}: {error}"
        raise UsageError(msg) from None
