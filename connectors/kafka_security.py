"""The broker's security in the words of its clients: kafka-python's options, and properties of Flink's Kafka connector.

A property of a table ends in the job graph, in rendered SQL and in the JobManager's REST answers, so no secret may be one.
Kafka's own answer is a reference that its client resolves where it runs: `${directory:/run/secrets:password}`. The connector
carries the Kafka client under another package name, and so the classes that are named here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from signalbox.errors import ConfigurationError
from signalbox.kafka_settings import (
    PASSWORD_FILE_VARIABLE,
    PASSWORD_VARIABLE,
    KafkaSecuritySettings,
)

_SHADED: Final = "org.apache.flink.kafka.shaded.org.apache.kafka.common"
_LOGIN_MODULE: Final = {
    "PLAIN": f"{_SHADED}.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": f"{_SHADED}.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": f"{_SHADED}.security.scram.ScramLoginModule",
}
_DIRECTORY_PROVIDER: Final = f"{_SHADED}.config.provider.DirectoryConfigProvider"
# The reference is replaced inside a quoted string of Kafka's login line, which knows no other way out of it.
_BREAKS_THE_LINE: Final = re.compile(r'["\\\x00-\x1f\x7f]')


def python_options(security: KafkaSecuritySettings) -> dict[str, Any]:
    """Return what kafka-python's clients take; the password is read now, so a client made later sees a new one.

    Raises:
        ConfigurationError: the password's file cannot be read.
    """
    options: dict[str, Any] = {"security_protocol": security.protocol}
    if security.uses_sasl:
        options |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": _password(security),
        }
    if security.uses_tls:
        options |= {
            "ssl_cafile": _text(security.ca_file),
            "ssl_certfile": _text(security.certificate_file),
            "ssl_keyfile": _text(security.key_file),
        }
    return options


def java_properties(security: KafkaSecuritySettings) -> dict[str, str]:
    """Return the client properties of Flink's Kafka connector (without `properties.`); empty for a plain broker.

    Raises:
        ConfigurationError: the password is not in a file, or the file's text would break Kafka's login line.
    """
    if security.protocol == "PLAINTEXT":
        return {}
    properties: dict[str, str] = {"security.protocol": security.protocol}
    referred: list[Path] = []
    if security.uses_sasl:
        file = _password_file(security)
        referred.append(file)
        properties |= {
            "sasl.mechanism": security.mechanism,
            "sasl.jaas.config": (
                f"{_LOGIN_MODULE[security.mechanism]} required "
                f'username="{security.username}" password="{_reference(file)}";'
            ),
        }
    if security.ca_file is not None:
        properties |= {
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(security.ca_file.absolute()),
        }
    if security.certificate_file is not None and security.key_file is not None:
        referred += [security.certificate_file.absolute(), security.key_file.absolute()]
        properties |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": _reference(security.certificate_file.absolute()),
            "ssl.keystore.key": _reference(security.key_file.absolute()),
        }
    if referred:
        folders = sorted({str(file.parent) for file in referred})
        properties |= {
            "config.providers": "directory",
            "config.providers.directory.class": _DIRECTORY_PROVIDER,
            "config.providers.directory.param.allowed.paths": ",".join(folders),
        }
    return properties


def _password(security: KafkaSecuritySettings) -> str | None:
    try:
        return security.secret()
    except (OSError, UnicodeDecodeError) as error:
        msg = (
            f"{PASSWORD_FILE_VARIABLE}={security.password_file} cannot be read: {error}; "
            "correct the path or the file's rights"
        )
        raise ConfigurationError(msg) from None


def _password_file(security: KafkaSecuritySettings) -> Path:
    if security.password_file is None:
        msg = (
            f"{PASSWORD_VARIABLE} is set and a Flink job takes a password from a file only, because Flink shows a table's "
            f"options and logs its workers' environment; write it to a file without a line break and set {PASSWORD_FILE_VARIABLE}"
        )
        raise ConfigurationError(msg)
    file = security.password_file.absolute()
    # It may exist where the job runs and not here; then only Kafka's client can look at it.
    if file.is_file() and _BREAKS_THE_LINE.search(_text_of(security, file)):
        msg = (
            f"{PASSWORD_FILE_VARIABLE}={file}: the password has a line break, a quote, a backslash or a control "
            "character, which Kafka's login line cannot hold; write it with `printf %s`, or choose another one"
        )
        raise ConfigurationError(msg)
    return file


def _text_of(security: KafkaSecuritySettings, file: Path) -> str:
    _password(security)  # its error says which setting
    return file.read_bytes().decode("utf-8")


def _reference(file: Path) -> str:
    return f"${{directory:{file.parent}:{file.name}}}"


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
