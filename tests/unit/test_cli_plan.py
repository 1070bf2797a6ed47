"""What a stack is made of, and the environment its programs read."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.stack import plan
from cli.stack.devices import slots
from cli.stack.program import GRACE, Stage
from contract.settings import Settings

BROKER = "redis://:secret@127.0.0.1:1/0"


def environment(env: dict[str, str], pipelines: Path | None = None) -> dict[str, str]:
    return plan.environment(Settings.from_env(env), env, broker_url=BROKER, pipelines=pipelines)


def test_children_read_settings_that_their_own_check_accepts():
    env = environment({"FOURNIL_DATA_DIR": "data", "PATH": "/bin"}, Path("p.toml"))

    settings = Settings.from_env(env)
    assert settings.broker.url == BROKER
    assert settings.storage.data_dir == Path.cwd() / "data"
    assert settings.inference.pipelines == Path.cwd() / "p.toml"
    assert env["PATH"] == "/bin"


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("sqlite:///here.db", f"sqlite:///{Path.cwd()}/here.db"),
        ("sqlite:////there/x.db?timeout=5", "sqlite:////there/x.db?timeout=5"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql+psycopg://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
    ],
)
def test_the_database_is_the_same_one_wherever_a_child_stands(url, absolute):
    assert environment({"FOURNIL_DATABASE_URL": url})["FOURNIL_DATABASE_URL"] == absolute


def test_a_secret_from_a_file_is_handed_on_once(tmp_path):
    secret = tmp_path / "url"
    secret.write_text("postgresql+psycopg://u:p@h/d\n", encoding="utf-8")

    env = environment({"FOURNIL_DATABASE_URL_FILE": str(secret)})

    assert Settings.from_env(env).storage.url == "postgresql+psycopg://u:p@h/d"


def test_the_web_server_is_handed_its_socket():
    program = plan.web(Settings(), {}, descriptor=7)

    assert program.fds == (7,)
    assert "fd://7" in program.argv
    assert "--no-control-socket" in program.argv
    assert program.argv[-1] == "web.wsgi:application()"


def test_each_oven_knows_its_slot_and_is_held_to_its_cores():
    ovens = plan.ovens(slots("cpu*2", cores=[0, 1], at_once=2, gpus=[]), {"A": "b"})

    assert [(oven.name, oven.cpus, oven.env["FOURNIL_SLOT"], oven.env["A"]) for oven in ovens] == [
        ("oven-cpu0", frozenset({0}), "cpu0", "b"),
        ("oven-cpu1", frozenset({1}), "cpu1", "b"),
    ]


def test_an_oven_spins_for_work_a_moment_unless_it_is_told_otherwise():
    chosen = slots("cpu", cores=[0], at_once=1, gpus=[])

    assert plan.WAITING.items() <= plan.ovens(chosen, {})[0].env.items()
    for told in ({"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "0"}):
        env = plan.ovens(chosen, told)[0].env
        assert {name: env[name] for name in plan.WAITING if name in env} == told


def test_the_web_stops_first_and_the_broker_last_within_15_seconds():
    assert list(Stage) == sorted(Stage)
    assert (next(iter(Stage)), list(Stage)[-1]) == (Stage.WEB, Stage.BROKER)
    assert sum(GRACE.values()) <= 15
