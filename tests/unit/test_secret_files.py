"""The model's key: out of the environment of what the stack starts, into a file of its owner's."""

from __future__ import annotations

from pydantic import BaseModel, SecretStr

from signalbox.local_stack import secret_files
from signalbox.local_stack.environment import environment_of
from signalbox.local_stack.secret_files import with_secrets_in_files
from signalbox.settings import ModelSettings, MongodbSettings, Settings, SmtpSettings

KEY = "canary-91c2"


def with_key(key: str) -> Settings:
    return Settings(model=ModelSettings(provider="openai", name="m", api_key=SecretStr(key)))


def test_key_is_in_the_file_and_in_no_variable(tmp_path):
    """The started processes' environment has the file's path; reading the settings there gives the key back."""
    moved = with_secrets_in_files(with_key(KEY), tmp_path)

    environ = environment_of(moved)
    assert KEY not in str(environ)
    path = tmp_path / "secrets" / "model_api_key"
    assert environ["SIGNALBOX_MODEL__API_KEY_FILE"] == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert moved.model.key() == KEY


def test_key_that_changed_replaces_the_old_file(tmp_path):
    """A second start with another key leaves that one alone."""
    with_secrets_in_files(with_key("old"), tmp_path)

    assert with_secrets_in_files(with_key(KEY), tmp_path).model.key() == KEY


def test_no_key_leaves_no_file(tmp_path):
    """Without a key, or with an empty one, nothing is written."""
    for settings in (Settings(), with_key("")):
        assert with_secrets_in_files(settings, tmp_path).model.key() is None
    assert list(tmp_path.iterdir()) == []


def test_every_secret_of_the_settings_travels_as_a_file(tmp_path):
    """The mail password and MongoDB's address are in no variable either, and read back the same."""
    settings = Settings(
        mongodb=MongodbSettings(uri=SecretStr(f"mongodb://u:{KEY}@h/")),
        smtp=SmtpSettings(host="h", sender="a@b.example", user="u", password=SecretStr(KEY)),
    )

    moved = with_secrets_in_files(settings, tmp_path)

    assert KEY not in str(environment_of(moved))
    assert moved.mongodb.address() == f"mongodb://u:{KEY}@h/"
    assert moved.smtp.secret() == KEY
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()} == {0o600}


def test_every_secret_setting_is_one_that_travels_as_a_file():
    """A new secret cannot be forgotten: each SecretStr has a `_file` beside it and is moved there."""
    found = {
        (section, name)
        for section, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        for name, inner in field.annotation.model_fields.items()
        if "SecretStr" in str(inner.annotation)
    }

    assert found == {(section, name) for section, name, _ in secret_files._SECRETS}
