"""How clients prove who they are: settings that fit together, options for each client, and no secret in any of Flink's."""

from __future__ import annotations

import pickle

import pytest
from pydantic import SecretStr, ValidationError

from connectors.kafka_client import common_options
from connectors.kafka_security import java_properties, python_options
from flink_jobs.operators.route import Route
from flink_jobs.sql_files import render_session, table_ddl
from signalbox.errors import ConfigurationError
from signalbox.kafka_settings import PLAINTEXT, KafkaSecuritySettings, KafkaSettings
from signalbox.local_stack.environment import environment_of
from signalbox.local_stack.secret_files import with_secrets_in_files
from signalbox.settings import Settings, without_secrets

CANARY = "canary-0f63"


def login(**more):
    given = {"protocol": "SASL_SSL", "username": "ada", "password": CANARY, **more}
    return {key: value for key, value in given.items() if value is not None}


def settings_with(**security):
    return Settings(kafka={"bootstrap_servers": "kafka:9093", "security": login(**security)})


@pytest.fixture
def password_file(tmp_path):
    """A file with the password and nothing else."""
    file = tmp_path / "password"
    file.write_text(CANARY)
    return file


def test_plain_broker_needs_no_options():
    """The local broker's clients are told nothing about security but its absence."""
    assert python_options(PLAINTEXT) == {"security_protocol": "PLAINTEXT"}
    assert java_properties(PLAINTEXT) == {}


def test_python_clients_get_login_and_certificates(tmp_path):
    """kafka-python takes the password itself and the files' names."""
    security = KafkaSecuritySettings(
        **login(
            mechanism="SCRAM-SHA-256", ca_file=tmp_path / "ca", certificate_file="c", key_file="k"
        )
    )

    options = common_options("kafka:9093", security)

    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_mechanism"] == "SCRAM-SHA-256"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("ada", CANARY)
    assert (options["ssl_cafile"], options["ssl_certfile"], options["ssl_keyfile"]) == (
        str(tmp_path / "ca"),
        "c",
        "k",
    )


def test_password_that_was_renewed_counts_for_the_next_client(password_file):
    """The file is read whenever a client is made; a line break at its end is not part of the password."""
    security = KafkaSecuritySettings(**login(password=None, password_file=password_file))
    password_file.write_text("renewed\n")

    assert python_options(security)["sasl_plain_password"] == "renewed"


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_flink_is_told_where_the_secrets_are_and_never_what(password_file, mechanism):
    """Tables refer to files, by the class names of the connector's own Kafka client."""
    folder = password_file.parent
    for name in ("user.crt", "user.key"):
        (folder / name).write_text(CANARY)
    security = KafkaSecuritySettings(
        **login(
            password=None,
            mechanism=mechanism,
            password_file=password_file,
            ca_file=folder / "ca.crt",
            certificate_file=folder / "user.crt",
            key_file=folder / "user.key",
        )
    )

    found = java_properties(security)

    module = "plain.PlainLoginModule" if mechanism == "PLAIN" else "scram.ScramLoginModule"
    assert found["sasl.jaas.config"] == (
        f"org.apache.flink.kafka.shaded.org.apache.kafka.common.security.{module} required "
        f'username="ada" password="${{directory:{folder}:password}}";'
    )
    assert found["ssl.keystore.key"] == f"${{directory:{folder}:user.key}}"
    assert found["ssl.truststore.location"] == str(folder / "ca.crt")
    assert found["config.providers.directory.param.allowed.paths"] == str(folder)
    assert CANARY not in str(found)


def test_every_rendered_table_has_the_reference(password_file):
    """Each Kafka table of a job and of a session carries the properties, and none carries the password."""
    settings = settings_with(password=None, password_file=password_file)

    text = "\n".join(
        (*table_ddl(settings, "agent_messages", "orchestrator_output"), render_session(settings))
    )

    assert text.count("'connector' = 'kafka'") == text.count("'properties.sasl.jaas.config'") > 8
    assert f'password="${{directory:{password_file.parent}:password}}"' in text
    assert CANARY not in text


def test_job_refuses_a_password_that_is_in_no_file():
    """A password in a variable alone would end where Flink shows it, so the job says what to do instead."""
    with pytest.raises(
        ConfigurationError, match="SIGNALBOX_KAFKA__SECURITY__PASSWORD_FILE"
    ) as caught:
        table_ddl(settings_with(), "agent_messages")

    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("text", [f"{CANARY}\n", 'a"b', "a\\b", "a\x00b"])
def test_password_that_breaks_the_login_line_is_refused(password_file, text):
    """A line break or a quote would end the quoted string: said before Kafka's client says something dark."""
    password_file.write_text(text)

    with pytest.raises(ConfigurationError, match="cannot hold") as caught:
        java_properties(KafkaSecuritySettings(**login(password=None, password_file=password_file)))

    assert CANARY not in str(caught.value)


def test_file_that_cannot_be_read_is_named(tmp_path):
    """Who cannot log in because of a path is told the setting and the path."""
    security = KafkaSecuritySettings(**login(password=None, password_file=tmp_path / "none"))

    with pytest.raises(ConfigurationError, match=r"PASSWORD_FILE=.*none cannot be read"):
        python_options(security)


def test_stack_moves_the_password_into_a_file(tmp_path):
    """What `up` starts has a path in its environment; a file with a line break is copied without."""
    moved = with_secrets_in_files(settings_with(), tmp_path)
    path = tmp_path / "secrets" / "kafka_password"

    assert CANARY not in str(environment_of(moved))
    assert moved.kafka.security.password_file == path
    assert (path.read_text(), path.stat().st_mode & 0o777) == (CANARY, 0o600)

    theirs = tmp_path / "theirs"
    theirs.write_text(CANARY)
    clean = settings_with(password=None, password_file=theirs)
    assert with_secrets_in_files(clean, tmp_path) == clean
    theirs.write_text(f"{CANARY}\n")
    assert with_secrets_in_files(clean, tmp_path).kafka.security.password_file == path


def test_operator_carries_no_secret_into_the_job_graph():
    """What is pickled into the job has neither the broker's password nor the model's key."""
    settings = settings_with().model_copy(
        update={"model": Settings().model.model_copy(update={"api_key": SecretStr("canary-key")})}
    )

    pickled = pickle.dumps(Route(settings)._settings)

    assert CANARY.encode() not in pickled
    assert b"canary-key" not in pickled
    assert b"ada" in pickled  # the rest is there
    assert without_secrets(settings).kafka.security.secret() is None


@pytest.mark.parametrize(
    ("security", "said"),
    [
        ({"protocol": "SASL_SSL"}, "USERNAME"),
        ({"protocol": "SASL_SSL", "username": "ada"}, "PASSWORD"),
        ({"protocol": "SSL", "username": "ada", "password": CANARY}, "SASL_SSL"),
        ({"username": "ada", "password": CANARY}, "sends none"),
        (login(certificate_file="c"), "belong together"),
        (login(protocol="SASL_PLAINTEXT", ca_file="c"), "uses none"),
        (login(username='a"b'), "login line"),
        (login(password=None, password_file="/a:b"), "colon"),
        ({"protocol": "TLS"}, "SASL_SSL"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(security, said):
    """A half-set login is an error that says the other half, never a plain connection, and shows no password."""
    with pytest.raises(ValidationError, match=said) as caught:
        Settings(kafka={"bootstrap_servers": "kafka:9093", "security": security})

    assert CANARY not in str(caught.value)


def test_local_broker_takes_no_login():
    """Security without an outside broker is a forgotten address, not a silent plain connection."""
    with pytest.raises(ValidationError, match="BOOTSTRAP_SERVERS"):
        Settings(kafka={"security": login()})


def test_groups_follow_the_topics_prefix():
    """Two deployments with topics of their own on one broker have groups and transactional ids of their own."""
    assert KafkaSettings(topic_prefix="blue.").group_prefix == "blue."
    assert KafkaSettings(topic_prefix="blue.", group_prefix="g-").group_prefix == "g-"
    assert KafkaSettings().group_prefix == ""
