"""What commands share: settings with readable errors, the broker they talk to, and how JSON is printed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import typer
from pydantic import ValidationError

from signalbox.definitions.fleet import ActiveSet
from signalbox.errors import ConfigurationError
from signalbox.settings import Settings

_SECRETS: Final = frozenset({"api_key", "password", "uri"})

if TYPE_CHECKING:
    from connectors.broker import Broker
    from connectors.registry import Change, Edit
    from signalbox.definitions.registry_state import RegistryState
    from signalbox.local_stack.agent_status import AgentStatus


def load_settings() -> Settings:
    """Read the settings from the environment and `.env`.

    Raises:
        ConfigurationError: naming the variable, its value and what is right.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"{variable_of(item['loc'])}={_shown(item)}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_url=False)
        ]
        msg = "; ".join(lines) + "; set it right or unset it, then `signalbox config show`"
        raise ConfigurationError(msg) from None


def variable_of(path: tuple[int | str, ...]) -> str:
    """Return the environment variable of a setting: `("kafka", "port")` is `SIGNALBOX_KAFKA__PORT`."""
    return "SIGNALBOX_" + "__".join(str(part).upper() for part in path)


def open_broker(settings: Settings) -> Broker:
    """Return the Kafka that the settings name; nothing is connected yet."""
    from connectors.kafka import KafkaBroker  # noqa: PLC0415 (slow to import)

    return KafkaBroker.of(settings.kafka)


def reach_broker(settings: Settings) -> Broker:
    """Return the Kafka that the settings name once it answers; for commands that only read or send.

    Raises:
        BrokerError: none does; as `require_broker`.
    """
    from connectors.kafka import KafkaBroker  # noqa: PLC0415 (slow to import)

    broker = open_broker(settings)
    if isinstance(broker, KafkaBroker):  # one in memory is always there
        require_broker(settings)
    return broker


def read_active(settings: Settings) -> ActiveSet:
    """Return the active definitions; an empty set where none were ever applied."""
    from connectors.registry import read_active_set  # noqa: PLC0415 (slow to import)

    prefix = settings.kafka.topic_prefix
    return read_active_set(reach_broker(settings), topic_prefix=prefix) or ActiveSet.of(())


def read_agents(settings: Settings) -> tuple[RegistryState, tuple[AgentStatus, ...]]:
    """Return what the registry says, and how each agent is as its processes say."""
    from connectors.heartbeats import recent_heartbeats  # noqa: PLC0415 (slow to import)
    from connectors.registry import read_registry  # noqa: PLC0415 (slow to import)
    from signalbox.local_stack.agent_status import agent_statuses  # noqa: PLC0415 (slow to import)

    prefix = settings.kafka.topic_prefix
    broker = open_broker(settings)
    state = read_registry(broker, topic_prefix=prefix).state
    return state, agent_statuses(state, recent_heartbeats(broker, prefix, now()), {})


def require_broker(settings: Settings) -> None:
    """Make sure a broker answers, in seconds; a client that finds nobody tries for half a minute.

    Raises:
        BrokerError: none does; with the reason and what to do.
    """
    from connectors.broker import BrokerError  # noqa: PLC0415 (slow to import)
    from connectors.topic_admin import complaint  # noqa: PLC0415 (slow to import)

    servers = settings.kafka.servers
    if (reason := complaint(servers, security=settings.kafka.security)) is not None:
        msg = (
            f"no broker answers at {servers} ({reason}); start one with `signalbox up`, "
            "or name yours in SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS"
        )
        raise BrokerError(msg)


def change_registry(
    settings: Settings, edit: Edit, *, agents: Iterable[str] = (), moment: datetime | None = None
) -> Change:
    """Change the registry by `edit`, the task topics of `agents` made first; see `connectors.registry.change_registry`."""
    from connectors.registry import change_registry as change  # noqa: PLC0415 (slow to import)

    return change(
        open_broker(settings),
        edit,
        topic_prefix=settings.kafka.topic_prefix,
        applied_at=moment or now(),
        prepare=lambda _: ensure_agent_topics(settings, agents),
    )


def ensure_agent_topics(settings: Settings, agents: Iterable[str]) -> None:
    """Create the task topics of `agents` that are missing."""
    from connectors.topic_admin import ensure_topics_of  # noqa: PLC0415 (slow to import)

    if names := tuple(agents):
        ensure_topics_of(settings.kafka, names, fixed=False)


def now() -> datetime:
    """Return the moment, in UTC. The only clock that commands read."""
    return datetime.now(UTC)


def new_id(prefix: str) -> str:
    """Return a fresh id, `<prefix>-<16 hex digits>`."""
    return f"{prefix}-{secrets.token_hex(8)}"


def print_json(value: Any) -> None:
    """Print one JSON object on one line."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=str))


def note(text: str) -> None:
    """Say something to the person, on stderr, so that stdout stays the result."""
    typer.echo(text, err=True)


def _shown(item: Any) -> str:
    # Secrets must not appear in an error either.
    value = item.get("input")
    # A section as a whole may have one in it.
    is_secret = not isinstance(value, str | int | float) or _SECRETS & {
        str(part) for part in item["loc"]
    }
    return "…" if is_secret else repr(value)
