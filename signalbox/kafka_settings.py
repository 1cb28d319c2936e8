"""The settings of the broker: where it is, what our names there begin with, and how clients prove who they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

PASSWORD_VARIABLE: Final = "SIGNALBOX_KAFKA__SECURITY__PASSWORD"
PASSWORD_FILE_VARIABLE: Final = "SIGNALBOX_KAFKA__SECURITY__PASSWORD_FILE"

_UNQUOTABLE: Final = re.compile(r'["\\\x00-\x1f\x7f]')

# Compose and Kubernetes hand an optional value on as an empty string.
_Text = Annotated[str | None, BeforeValidator(lambda value: value or None)]
_File = Annotated[Path | None, BeforeValidator(lambda value: value or None)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSecuritySettings(_Section):
    """How every client of ours speaks to an outside broker: Kafka's own words. Files are PEM.

    Flink's connector is given names of files, never what is in them: `connectors.kafka_security`. They must lie at the same
    path wherever the job is submitted and runs.
    """

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: _Text = None
    password: SecretStr | None = None
    password_file: _File = None
    """A file that holds the password and nothing else, without a line break; what jobs are given."""
    ca_file: _File = None
    """Who signed the broker's certificate; the system's authorities where unset."""
    certificate_file: _File = None
    key_file: _File = None
    """The client's certificate chain and its unencrypted PKCS#8 key, where the broker asks for them."""

    @field_validator("username", mode="after")
    @classmethod
    def _username_can_be_quoted(cls, value: str | None) -> str | None:
        if value is not None and (_UNQUOTABLE.search(value) or "${" in value):
            msg = 'has a quote, a backslash, "${" or a control character; Kafka\'s login line cannot hold it, choose another'
            raise ValueError(msg)
        return value

    @field_validator("password_file", "certificate_file", "key_file", mode="after")
    @classmethod
    def _path_can_be_referred_to(cls, value: Path | None) -> Path | None:
        if value is not None and re.search(r"[:,}]", str(value)):
            msg = f"{value} has a colon, a comma or a brace; Kafka's references to files cannot hold it, move the file"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> KafkaSecuritySettings:
        has_password = bool(self.password and self.password.get_secret_value())
        has_login = self.username is not None or has_password or self.password_file is not None
        if self.uses_sasl and (self.username is None or not (has_password or self.password_file)):
            msg = (
                f"protocol {self.protocol} needs …__USERNAME and …__PASSWORD or …__PASSWORD_FILE; "
                "set them, or protocol SSL or PLAINTEXT"
            )
            raise ValueError(msg)
        if has_login and not self.uses_sasl:
            msg = f"a username or password is set and protocol {self.protocol} sends none; set …__PROTOCOL=SASL_SSL"
            raise ValueError(msg)
        if (self.certificate_file is None) != (self.key_file is None):
            msg = "…__CERTIFICATE_FILE and …__KEY_FILE belong together; set both or neither"
            raise ValueError(msg)
        if (self.ca_file or self.certificate_file) and not self.uses_tls:
            msg = f"a CA or certificate is set and protocol {self.protocol} uses none; set …__PROTOCOL=SSL or SASL_SSL"
            raise ValueError(msg)
        return self

    @property
    def uses_sasl(self) -> bool:
        """Whether clients log in with a name and a password."""
        return self.protocol.startswith("SASL_")

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.protocol.endswith("SSL")

    def secret(self) -> str | None:
        """Return the password from `password`, else from `password_file`; None where neither is set.

        Raises:
            OSError: the file cannot be read.
        """
        if self.password is not None and self.password.get_secret_value():
            return self.password.get_secret_value()
        if self.password_file is None:
            return None
        return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")


PLAINTEXT: Final = KafkaSecuritySettings()
"""No encryption, no login: a broker on loopback."""


class KafkaSettings(_Section):
    """The broker. With `bootstrap_servers` set, an outside broker is used and none is started.

    `group_prefix` begins every consumer group and transactional id, by default with the topics' prefix: two deployments
    with different topics on one broker then share no group, and so fence none of each other's members.
    """

    port: int = Field(9092, ge=1, le=65535)
    bootstrap_servers: str | None = None
    topic_prefix: str = Field("", pattern=r"^([a-zA-Z0-9][a-zA-Z0-9._-]{0,60}[._-])?$")
    group_prefix: str = Field("", pattern=r"^[a-zA-Z0-9._-]{0,64}$")
    security: KafkaSecuritySettings = PLAINTEXT

    @model_validator(mode="before")
    @classmethod
    def _group_prefix_is_the_topics(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("group_prefix"):
            return {**values, "group_prefix": values.get("topic_prefix", "")}
        return values

    @model_validator(mode="after")
    def _own_broker_is_plain(self) -> KafkaSettings:
        if self.bootstrap_servers is None and self.security != PLAINTEXT:
            msg = (
                "security is set and no outside broker is; the local broker is plain and on loopback: "
                "set SIGNALBOX_KAFKA__BOOTSTRAP_SERVERS, or unset SIGNALBOX_KAFKA__SECURITY__…"
            )
            raise ValueError(msg)
        return self

    @property
    def servers(self) -> str:
        """`host:port[,…]` to connect to."""
        return self.bootstrap_servers or f"127.0.0.1:{self.port}"
