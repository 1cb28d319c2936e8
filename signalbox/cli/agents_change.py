"""`signalbox agents apply` and `remove`: change the active set while everything runs, whole or not at all.

Whatever can be known to be wrong is found before the first topic is made. What is left out of the way of messages on
purpose (the topic of a removed agent, what it has not answered) is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from signalbox.cli import session
from signalbox.cli.change_told import changed_agents, changes, digests, handoff_warnings
from signalbox.cli.handler_check import handler_problems
from signalbox.contracts.registry import BacklogPolicy
from signalbox.definitions.fleet import ActiveSet, Fleet
from signalbox.definitions.loader import FLEET_FILE
from signalbox.definitions.registry_state import RegistryState
from signalbox.errors import UsageError
from signalbox.settings import Settings
from signalbox.workflows.loading import load_fleet

if TYPE_CHECKING:
    from connectors.registry import Change

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON only.")]
Backlog = Annotated[
    str,
    typer.Option(
        metavar="drain|dead-letter",
        help="What becomes of the tasks that wait for a removed agent: worked off, or each a dead letter.",
    ),
]

_POLICIES: Final[dict[str, BacklogPolicy]] = {"drain": "drain", "dead-letter": "dead-letter"}


def apply(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help=f"A folder with a {FLEET_FILE}.")],
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", help="Remove the fleet's agents and workflows that have no file here."
        ),
    ] = False,
    backlog: Backlog = "drain",
    code_elsewhere: Annotated[
        bool,
        typer.Option(
            "--code-elsewhere", help="Handlers' code is only where agents run; do not look."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a fleet's agents and workflows active beside those of other fleets; those of the same name are replaced.

    Their topics are created first. The running job takes the change up at each conversation's next message.
    """
    policy = _policy(backlog)
    settings = session.load_settings()
    fleet = load_fleet(folder)
    if not code_elsewhere and (problems := handler_problems(folder, fleet)):
        raise problems[0]
    session.require_broker(settings)
    moment = session.now()

    def applied(state: RegistryState) -> RegistryState:
        try:
            active = state.active.with_fleet(fleet)
            if prune:
                active = _pruned(active, fleet)
        except ValueError as error:
            raise UsageError(str(error)) from None
        return state.activated(active, removed_at=moment, backlog=policy)

    change = session.change_registry(settings, applied, agents=fleet.agents, moment=moment)
    active = change.after.active
    warnings = [
        f"{name} is active and has no file in {folder}; `apply --prune` removes such agents"
        for name in _without_file(active.fleet_of, fleet.name, fleet.agents)
    ]
    warnings += [
        f"workflow {name} is active and has no file in {folder}; `apply --prune` removes such workflows"
        for name in _without_file(active.workflow_fleet_of, fleet.name, fleet.workflows)
    ]
    warnings += handoff_warnings(change)
    _report(settings, change, warnings, as_json=as_json)


def remove(
    name: Annotated[str, typer.Argument(help="The agent.")],
    backlog: Backlog = "drain",
    as_json: AsJson = False,
) -> None:
    """Take an agent out of the active set; its topic stays. `apply` brings it back.

    Of a removed agent the policy may be changed: say `remove` again with the other one.
    """
    policy = _policy(backlog)
    settings = session.load_settings()
    session.require_broker(settings)
    moment = session.now()

    def removed(state: RegistryState) -> RegistryState:
        if name in state.retired:
            return state.retired_with(name, policy)
        try:
            active = state.active.without(name)
        except ValueError as error:
            raise UsageError(str(error)) from None
        except KeyError:
            names = ", ".join(state.active.agents) or "none"
            session.note(f"no agent {name!r} is active; active: {names}")
            raise typer.Exit(1) from None
        return state.activated(active, removed_at=moment, backlog=policy)

    change = session.change_registry(settings, removed, moment=moment)
    warnings = handoff_warnings(change)
    fleet = change.after.retired[name].fleet
    if name in change.before.active.agents and fleet in settings.fleets:
        warnings.append(
            f"fleet {fleet!r} is in SIGNALBOX_FLEETS: while its folder has a file for {name}, the next `up` brings it back"
        )
    _report(settings, change, warnings, as_json=as_json)


def _policy(given: str) -> BacklogPolicy:
    if given not in _POLICIES:
        msg = f"--backlog {given!r} is no policy; choose {' or '.join(_POLICIES)}"
        raise UsageError(msg)
    return _POLICIES[given]


def _pruned(active: ActiveSet, fleet: Fleet) -> ActiveSet:
    # Workflows first: an agent that only a removed one needed may then go.
    for name in _without_file(active.workflow_fleet_of, fleet.name, fleet.workflows):
        active = active.without_workflow(name)
    for name in _without_file(active.fleet_of, fleet.name, fleet.agents):
        active = active.without(name)
    return active


def _without_file(fleet_of: Mapping[str, str], fleet: str, names: Collection[str]) -> list[str]:
    return [name for name, owner in fleet_of.items() if owner == fleet and name not in names]


def _report(settings: Settings, change: Change, warnings: Iterable[str], *, as_json: bool) -> None:
    before, after = change.before.active, change.after.active
    agents = changed_agents(change)
    workflows = changes(digests(before.workflows), digests(after.workflows))
    retired = change.after.retired
    backlog = {
        name: retirement.backlog
        for name, retirement in retired.items()
        if change.before.retired.get(name) != retirement
    }
    if as_json:
        session.print_json(
            {
                "definitions": after.digest,
                **agents,
                "workflows": workflows,
                "backlog": backlog,
                "warnings": list(warnings),
            }
        )
        return
    for kind, changed in (("", agents), ("workflow ", workflows)):
        for verb, names in changed.items():
            for name in names:
                typer.echo(f"{verb} {kind}{name}")
    for name, policy in backlog.items():
        what = "dead-lettered" if policy == "dead-letter" else "worked off (drain)"
        typer.echo(f"tasks that wait for {name} are {what}")
    if change.before == change.after:
        typer.echo("already so, nothing changed" if retired else "already active, nothing changed")
    for warning in warnings:
        session.note(f"warning: {warning}")
    session.note(f"definitions {after.digest}: {len(after.agents)} agents active")
    if not _is_supervised(settings):
        session.note(
            "no stack of these settings runs here: agents elsewhere follow by themselves, `signalbox up` starts the rest"
        )


def _is_supervised(settings: Settings) -> bool:
    from signalbox.local_stack import state_file  # noqa: PLC0415 (slow to import)

    return state_file.read(settings.home.absolute()).supervisor_is_alive()
