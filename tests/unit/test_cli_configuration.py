"""Settings of a command: what was typed wins, and a wrong word is a usage error with a sentence."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from cli import configuration
from cli.commands import roles
from cli.main import main
from tests.processes import FAKE


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_what_was_typed_wins_over_the_environment():
    settings, env = configuration.settings_and_environment(port=9, host=None)

    assert settings.web.port == 9
    assert env["FOURNIL_PORT"] == "9"
    assert settings.web.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("words", "env", "said"),
    [
        (["up"], {"FOURNIL_PROT": "1"}, "FOURNIL_PROT is not a setting. Did you mean FOURNIL_PORT?"),
        (["up", "--devices", "gpu"], {}, "FOURNIL_DEVICES is 'gpu'; write auto"),
        (["up", "--host", "0.0.0.0"], {}, "FOURNIL_TRUST_NETWORK=true"),
        (["web", "--host", "0.0.0.0"], {"FOURNIL_BROKER_URL": "redis://b"}, "FOURNIL_TRUST_NETWORK=true"),
        (["up", "--devices", "cuda:77"], {}, "cuda:77"),
        (["up", "--pipelines", "no.toml"], {}, "no.toml cannot be read"),
        (["worker"], {}, "FOURNIL_BROKER_URL is not set"),
        (["scheduler"], {}, "FOURNIL_BROKER_URL is not set"),
    ],
)
def test_a_wrong_setting_stops_the_command_with_a_sentence(words, env, said):
    answer = CliRunner(env=env).invoke(main, words)

    assert answer.exit_code == 2
    assert said in answer.stderr


def test_the_pipelines_file_is_the_named_one_else_the_one_that_lies_here(tmp_path):
    def found(env=None):
        return configuration.pipelines_file(configuration.Settings.from_env(env or {}))

    assert found() is None
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "pipelines.toml").write_text(FAKE, encoding="utf-8")
    assert found().parts[-2:] == ("examples", "pipelines.toml")
    (tmp_path / "pipelines.toml").write_text(FAKE, encoding="utf-8")
    assert found().parts == ("pipelines.toml",)
    assert found({"FOURNIL_PIPELINES": "/else/where.toml"}).name == "where.toml"


@pytest.mark.parametrize(
    ("words", "module"),
    [
        (["web", "--host", "::1", "--port", "81"], "gunicorn"),
        (["upkeep"], "worker.node"),
        (["scheduler"], "worker.node"),
    ],
)
def test_a_single_role_becomes_its_process(monkeypatch, words, module):
    became = []
    monkeypatch.setattr(roles.os, "execve", lambda path, argv, env: became.append((argv, env)))

    CliRunner(env={"FOURNIL_BROKER_URL": "redis://b"}).invoke(main, words, catch_exceptions=False)

    ((argv, env),) = became
    assert argv[3] == module
    assert env["FOURNIL_BROKER_URL"] == "redis://b"
    assert words[0] != "web" or "[::1]:81" in argv
