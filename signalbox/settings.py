"""Settings: environment variables with prefix `SIGNALBOX_`, nested by `__`, and `.env`; defaults run the local stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from signalbox.kafka_settings import KafkaSettings

Provider = Literal["embedded", "ollama", "openai"]
RoutingPolicy = Literal["contract_first", "model_always"]
Delivery = Literal["at_least_once", "exactly_once"]
_Settings = TypeVar("_Settings", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FlinkSettings(_Section):
    """The cluster and the job's shape. `conf` is passed to Flink untouched (`{"taskmanager.numberOfTaskSlots": "8"}`)."""

    rest_port: int = Field(8081, ge=1, le=65535)
    parallelism: int = Field(1, ge=1, le=128)
    state_backend: Literal["hashmap", "rocksdb"] = "hashmap"
    python_execution_mode: Literal["auto", "thread", "process"] = "auto"
    """`thread` runs operators inside the TaskManager; `auto` does where Python is there as a shared library."""
    conf: dict[str, str] = Field(default_factory=dict)


class GatewaySettings(_Section):
    """The HTTP gateway; bound to loopback."""

    port: int = Field(8000, ge=1, le=65535)


class ModelSettings(_Section):
    """The chat model that decides where contracts do not, and that writes for prompt handlers."""

    provider: Provider = "embedded"
    base_url: str | None = None
    name: str | None = None
    api_key: SecretStr | None = None
    api_key_file: Path | None = None
    """A file that holds the key; what the stack's processes are given, because Flink logs its workers' environment."""
    max_in_flight: int = Field(64, ge=1, le=100_000)
    timeout_seconds: float = Field(30.0, gt=0, le=600)
    max_attempts: int = Field(4, ge=1, le=20)
    max_tokens: int = Field(1024, ge=16, le=32768)

    @field_validator("base_url", "name", "api_key_file", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None

    def key(self) -> str | None:
        """Return the key from `api_key`, else from `api_key_file`; None where neither is set.

        Raises:
            OSError: the file cannot be read.
        """
        if self.api_key is not None and self.api_key.get_secret_value():
            return self.api_key.get_secret_value()
        return self.api_key_file.read_text().strip() if self.api_key_file is not None else None


class RoutingSettings(_Section):
    """How decisions are made. A `policy` set here wins over the fleets' own."""

    policy: RoutingPolicy | None = None
    max_waiting: int = Field(5000, ge=1)
    """Calls waiting per subtask before the operator holds back its input."""


class Settings(BaseSettings):
    """All settings. `Settings()` reads the environment; pass values to override in tests."""

    model_config = SettingsConfigDict(
        env_prefix="SIGNALBOX_",
        env_nested_delimiter="__",
        env_file=".env",
        frozen=True,
        extra="ignore",
        # What is wrong with a setting may be a password; the command line shows values itself, secrets excepted.
        hide_input_in_errors=True,
    )

    home: Path = Path(".signalbox")
    fleets: Annotated[tuple[str, ...], NoDecode] = ("sdr",)
    delivery: Delivery = "at_least_once"
    checkpoint_interval_ms: int = Field(1000, ge=100, le=600_000)
    kafka: KafkaSettings = KafkaSettings()
    flink: FlinkSettings = FlinkSettings()
    gateway: GatewaySettings = GatewaySettings()
    model: ModelSettings = ModelSettings()
    routing: RoutingSettings = RoutingSettings()

    @field_validator("fleets", mode="before")
    @classmethod
    def _split_fleets(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value


def without_secrets(settings: _Settings) -> _Settings:
    """Return `settings` with every secret unset, in every section; files that hold one stay named."""
    update: dict[str, Any] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            update[name] = None
        elif isinstance(value, BaseModel):
            update[name] = without_secrets(value)
    return settings.model_copy(update=update)
