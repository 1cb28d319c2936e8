"""Settings: environment variables with prefix `SIGNALBOX_`, nested by `__`, and `.env`; defaults run the local stack."""

from __future__ import annotations

from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from signalbox.kafka_settings import KafkaSettings

Provider = Literal["embedded", "ollama", "openai"]
RoutingPolicy = Literal["contract_first", "model_always"]
Delivery = Literal["at_least_once", "exactly_once"]
_Settings = TypeVar("_Settings", bound=BaseModel)


DEFAULT_SENDER: Final = "Signalbox <team@signalbox.invalid>"
"""A reserved domain (RFC 2606): nothing sent from here can ever be mistaken for a real sender."""

_THIS_MACHINE: Final = ("localhost", "127.0.0.1", "::1")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _secret(value: SecretStr | None, file: Path | None) -> str | None:
    """Return a secret from its variable, else from its file; None where neither is set. Raises OSError."""
    if value is not None and value.get_secret_value():
        return value.get_secret_value()
    return file.read_text().strip() if file is not None else None


class FlinkSettings(_Section):
    """The cluster and the job's shape. `conf` is passed to Flink untouched (`{"taskmanager.numberOfTaskSlots": "8"}`)."""

    rest_port: int = Field(8081, ge=1, le=65535)
    parallelism: int = Field(1, ge=1, le=128)
    state_backend: Literal["hashmap", "rocksdb"] = "hashmap"
    python_execution_mode: Literal["auto", "thread", "process"] = "auto"
    """`thread` runs operators inside the TaskManager; `auto` does where Python is there as a shared library."""
    conf: dict[str, str] = Field(default_factory=dict)
    metrics_ports: str | None = Field(
        None, pattern=r"^[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*$"
    )
    """Where Flink's Prometheus reporter listens: each of its processes takes the first free port of the range. It can only
    listen on every address of the machine, so nothing turns it on but this."""

    @field_validator("metrics_ports", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None


class GatewaySettings(_Section):
    """The HTTP gateway: whether `up` starts it, where it listens, who may call without a key, how much at once."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    keyless: Literal["loopback", "anyone", "never"] = "loopback"
    """Who needs no API key. `anyone` is for a port that only this machine reaches, as that of a container."""
    keys_file: Path | None = None
    """Names, scopes and digests of API keys; `gateway-keys.json` in the home where it is unset."""
    ack_seconds: float = Field(10.0, gt=0, le=120)
    """How long the broker's acknowledgement of a message is waited for."""
    max_waiting: int = Field(10_000, ge=1)
    """So many messages may wait for it; more are refused (429)."""
    max_requests_per_second: float = Field(5000.0, gt=0)
    """Of one caller, and as many at once."""
    flink_url: str | None = None
    """Flink's REST address, which the live page asks for what the job has in flight; this machine's where it is unset."""

    @field_validator("keys_file", "flink_url", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None


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
        return _secret(self.api_key, self.api_key_file)


class EmbedderSettings(_Section):
    """What turns texts into vectors, for the embedded model and for the shortlist before any other."""

    provider: Literal["auto", "minilm", "ollama", "lexical"] = "auto"
    """`auto` takes MiniLM where the extra `semantic` is installed, and words alone where it is not."""
    base_url: str | None = None
    name: str | None = None
    timeout_seconds: float = Field(20.0, gt=0, le=600)
    max_tokens: int = Field(128, ge=8, le=512)
    """A longer text is cut to so many tokens; MiniLM takes about 0.3 ms for each on one core."""
    cache_folder: Path | None = None
    """Where the vectors of definitions are kept over restarts; nowhere where it is unset."""

    @field_validator("base_url", "name", "cache_folder", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None


class RoutingSettings(_Section):
    """How decisions are made. A `policy` set here wins over the fleets' own."""

    policy: RoutingPolicy | None = None
    max_waiting: int = Field(5000, ge=1)
    """Calls waiting per subtask before the operator holds back its input."""
    silent_after_seconds: float = Field(15.0, ge=5, le=3600)
    """An agent none of whose processes sent a heartbeat for so long has failed. One is sent every 2 s."""


class LeadSettings(_Section):
    """What both lead sources do to a lead: fields of a form in other words get the names that the agents know."""

    rename: dict[str, str] = Field(default_factory=dict)
    """Top-level field → its name here (`{"jobTitle": "job_title"}`)."""


class MongodbSettings(_Section):
    """The collection whose new documents are leads. Without an address no source runs."""

    uri: SecretStr | None = None
    uri_file: Path | None = None
    """A file that holds the address; it may contain a password, so the stack's processes are given this."""
    database: str = Field("signalbox", min_length=1)
    collection: str = Field("leads", min_length=1)
    on_history_lost: Literal["stop", "skip"] = "stop"

    @field_validator("uri", "uri_file", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None

    @property
    def is_set(self) -> bool:
        """Whether there is an address."""
        return self.uri is not None or self.uri_file is not None

    def address(self) -> str | None:
        """Return the address from `uri`, else from `uri_file`. Raises OSError."""
        return _secret(self.uri, self.uri_file)


class FolderSettings(_Section):
    """The drop folder for files of leads. Without a path no source runs."""

    path: Path | None = None
    name: str = Field("folder", pattern=r"^[a-zA-Z0-9._-]{1,64}$")
    """Tells folders apart on one broker: what was read is remembered under it."""
    settle_seconds: float = Field(2.0, ge=0, le=3600)
    """How long size and time of a file must stand still before it is read."""

    @field_validator("path", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None


class SmtpSettings(_Section):
    """The server that Send Email hands its mails to. Without a host they stay files in the outbox."""

    host: str | None = None
    port: int = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    sender: str = DEFAULT_SENDER
    ca_file: Path | None = None
    """Certificates to trust besides the machine's, in PEM."""
    timeout_seconds: float = Field(10.0, gt=0, le=120)
    when_uncertain: Literal["hold", "send_again"] = "hold"
    """What becomes of a mail of which nobody knows whether the server took it."""

    @field_validator("host", "user", "password", "password_file", "ca_file", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.host is None:
            return self
        address = self.sender_address
        if "@" not in address or address.endswith(".invalid") or not self.sender.isprintable():
            msg = f"sender {self.sender!r} is no address to send from; set SIGNALBOX_SMTP__SENDER=Team <team@your.domain>"
            raise ValueError(msg)
        if self.user is not None and self.security == "none" and self.host not in _THIS_MACHINE:
            msg = f"security none would send the password to {self.host} readable for all; use starttls or tls"
            raise ValueError(msg)
        return self

    @property
    def sender_address(self) -> str:
        """The address within `sender`."""
        return parseaddr(self.sender)[1]

    def secret(self) -> str | None:
        """Return the password from `password`, else from `password_file`. Raises OSError."""
        return _secret(self.password, self.password_file)


class MetricsSettings(_Section):
    """Where agents and the read model answer Prometheus. The gateway has `/metrics` on its own port."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = Field(0, ge=0, le=65535)
    """0 is any free one: a file in `<home>/metrics` says which. A fixed one is for a process alone on its address, as in a pod."""
    advertised_host: str | None = None
    """The name by which others reach this machine or container, for that file; `host` without."""

    @field_validator("advertised_host", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None


class TracesSettings(_Section):
    """Where conversations go as OpenTelemetry traces; nowhere where it is unset. Needs the extra `otel`."""

    endpoint: str | None = Field(None, pattern=r"^https?://[^\s/]+(/\S*)?$")
    """OTLP/HTTP, without `/v1/traces`. Headers and certificates are OpenTelemetry's own `OTEL_EXPORTER_OTLP_…`."""

    @field_validator("endpoint", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None


class WebsiteSettings(_Section):
    """Whether the website that a lead names, and the picture whose address a request gives, are read."""

    fetch: bool = False
    timeout_seconds: float = Field(5.0, gt=0, le=60)
    """For the whole visit: names, redirects, reading."""
    max_bytes: int = Field(512 * 1024, ge=1024, le=8 * 1024 * 1024)
    max_redirects: int = Field(3, ge=0, le=10)


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
    embedder: EmbedderSettings = EmbedderSettings()
    routing: RoutingSettings = RoutingSettings()
    leads: LeadSettings = LeadSettings()
    mongodb: MongodbSettings = MongodbSettings()
    folder: FolderSettings = FolderSettings()
    smtp: SmtpSettings = SmtpSettings()
    website: WebsiteSettings = WebsiteSettings()
    metrics: MetricsSettings = MetricsSettings()
    traces: TracesSettings = TracesSettings()

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
