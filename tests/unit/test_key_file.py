"""The model's key: out of the environment of what the stack starts, into a file of its owner's."""

from __future__ import annotations

from pydantic import SecretStr

from signalbox.local_stack.environment import environment_of
from signalbox.local_stack.key_file import with_key_in_file
from signalbox.settings import ModelSettings, Settings

KEY = "canary-91c2"


def with_key(key: str) -> Settings:
    return Settings(model=ModelSettings(provider="openai", name="m", api_key=SecretStr(key)))


def test_key_is_in_the_file_and_in_no_variable(tmp_path):
    """The started processes' environment has the file's path; reading the settings there gives the key back."""
    moved = with_key_in_file(with_key(KEY), tmp_path)

    environ = environment_of(moved)
    assert KEY not in str(environ)
    path = tmp_path / "secrets" / "model_api_key"
    assert environ["SIGNALBOX_MODEL__API_KEY_FILE"] == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert moved.model.key() == KEY


def test_key_that_changed_replaces_the_old_file(tmp_path):
    """A second start with another key leaves that one alone."""
    with_key_in_file(with_key("old"), tmp_path)

    assert with_key_in_file(with_key(KEY), tmp_path).model.key() == KEY


def test_no_key_leaves_no_file(tmp_path):
    """Without a key, or with an empty one, nothing is written."""
    for settings in (Settings(), with_key("")):
        assert with_key_in_file(settings, tmp_path).model.key() is None
    assert list(tmp_path.iterdir()) == []
