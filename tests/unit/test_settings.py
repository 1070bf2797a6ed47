"""Settings explain themselves, and a wrong one stops the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.options import names_of
from contract.settings import Settings, SettingsError, fields


def test_every_setting_has_a_sentence_and_a_unique_name():
    names = [name for _, field in fields() for name in names_of(field)]
    assert len(names) == len(set(names))
    assert all(len(field.metadata["doc"]) > 10 for _, field in fields())


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"FOURNIL_PRT": "1"}, "FOURNIL_PRT is not a setting. Did you mean FOURNIL_PORT?"),
        ({"FOURNIL_PORT": "x"}, "FOURNIL_PORT is 'x'; write a whole number from 0 to 65535."),
        ({"FOURNIL_DEVICES": "gpu"}, "comma list of cpu, cpu*N and cuda:N"),
        ({"FOURNIL_TRUST_NETWORK": "maybe"}, "true or false"),
        ({"FOURNIL_DATABASE_URL": "mysql://secret"}, "FOURNIL_DATABASE_URL is (hidden)"),
        ({"FOURNIL_SECRET_KEY_FILE": "/nowhere/at/all"}, "cannot be read"),
        ({"FOURNIL_SECRET_KEY_FILE": "/x", "FOURNIL_SECRET_KEY": "y"}, "not both"),
        ({"FOURNIL_LOG_LEVEL": "loud"}, "one of debug, info"),
        ({"FOURNIL_LEASE_SECONDS": "1"}, "seconds, from 2"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_a_sentence(env, words):
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(env)
    assert words in str(caught.value)


def test_secrets_come_from_files_and_stay_out_of_the_repr(tmp_path: Path):
    (tmp_path / "key").write_text("s3cret\n")
    settings = Settings.from_env({"FOURNIL_SECRET_KEY_FILE": str(tmp_path / "key"), "OTHER": "x"})
    assert settings.web.secret_key == "s3cret"
    assert "s3cret" not in repr(settings)
