"""The doctor names what is wrong, says how to mend it, and is quiet about what is not."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cli import diagnosis
from cli.diagnosis import State
from cli.main import main
from contract.settings import Settings
from tests.processes import FAKE, ROOT


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def findings(**env: str) -> dict[str, diagnosis.Finding]:
    given = {f"FOURNIL_{name}": value for name, value in env.items()}
    return {finding.part: finding for finding in diagnosis.examine(Settings.from_env(given), given)}


def write_pipelines(text: str) -> None:
    Path("pipelines.toml").write_text(text, encoding="utf-8")


def test_a_machine_that_is_set_up_has_nothing_to_mend():
    write_pipelines(FAKE)

    answer = CliRunner().invoke(main, ["doctor"])

    assert answer.exit_code == 0, answer.output
    assert "Nothing is wrong." in answer.output
    assert "pipeline fake: the fake backend" in answer.output


def test_something_wrong_is_exit_code_1_with_a_way_to_mend_it():
    write_pipelines('[pipelines.x]\ntask = "ner"\nmodel = "package:no-such-package"\n')

    answer = CliRunner().invoke(main, ["doctor"])

    assert answer.exit_code == 1
    assert "pip install --no-deps no-such-package" in answer.output
    assert "1 to mend." in answer.output


def test_json_is_all_that_json_prints():
    answer = CliRunner().invoke(main, ["doctor", "--json"])

    assert {"python", "broker", "server"} <= {finding["part"] for finding in json.loads(answer.stdout)}


@pytest.mark.parametrize(
    ("env", "part", "state", "said"),
    [
        ({"BROKER_URL": "redis://127.0.0.1:1/0"}, "broker", State.WRONG, "does not answer"),
        ({"BROKER_SERVER": "no-such-server"}, "broker", State.WRONG, "not a program"),
        ({"BROKER_SERVER": "false"}, "broker", State.WRONG, "does not run"),
        ({"DATABASE_URL": "postgresql+psycopg://u:pw@127.0.0.1:1/d"}, "database", State.WRONG, "cannot be reached"),
        ({}, "database", State.NOTE, "made at the first start"),
        ({"DEVICES": "cuda:99"}, "devices", State.WRONG, "cuda:99"),
        ({"URL": "http://127.0.0.1:1"}, "server", State.WRONG, "none answers"),
        ({}, "pipelines", State.NOTE, "no pipelines file"),
        ({"PIPELINES": "not-there.toml"}, "pipelines", State.WRONG, "cannot be read"),
        ({"DATA_DIR": "/proc/self/data"}, "data directory", State.WRONG, "cannot be written"),
    ],
)
def test_each_part_is_tried_for_real(env, part, state, said):
    found = findings(**env)[part]

    assert found.state is state
    assert said in found.words


def test_a_password_is_never_shown():
    found = findings(DATABASE_URL="postgresql+psycopg://u:pw-secret@127.0.0.1:1/d")

    assert "pw-secret" not in str(found)


def test_an_old_database_is_told_apart_from_a_lost_one(tmp_path):
    url = f"sqlite:///{tmp_path}/old.db"
    assert findings(DATABASE_URL=url)["database"].words.endswith("the tables of another version")

    assert CliRunner(env={"FOURNIL_DATABASE_URL": url}).invoke(main, ["migrate"]).exit_code == 0
    assert findings(DATABASE_URL=url)["database"].state is State.GOOD


@pytest.mark.parametrize(
    ("lines", "state", "said"),
    [
        ('model = "package:pytest"', State.GOOD, "pytest"),
        ('model = "weights"', State.GOOD, "/weights"),
        ('model = "org/name"', State.NOTE, "from the Hub"),
        ('model = "package:pytest"\nadapter = "gone"', State.WRONG, "gone is not there"),
    ],
)
def test_each_checkpoint_is_looked_for_where_it_should_be(lines, state, said):
    Path("weights").mkdir()
    write_pipelines(f'[pipelines.x]\ntask = "ner"\n{lines}\n')

    found = findings()["pipeline x"]

    assert found.state is state
    assert said in found.words


def test_missing_packages_are_named_with_the_extra_that_brings_them(monkeypatch):
    monkeypatch.setitem(diagnosis._EXTRAS, "web", ("no_such_module",))

    found = findings()["web packages"]

    assert (found.state, found.words) == (State.WRONG, "missing: no_such_module")
    assert "fournil[web]" in found.mend


def test_it_looks_for_packages_that_the_extras_really_bring():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    for extra, names in diagnosis._EXTRAS.items():
        brought = {canonicalize_name(Requirement(line).name) for line in project["optional-dependencies"][extra]}
        assert {canonicalize_name(name) for name in names} <= brought


def test_a_nearly_full_disk_is_said(monkeypatch):
    monkeypatch.setattr(diagnosis, "_LEAST_DISK", 1 << 60)

    assert findings()["disk"].state is State.WRONG


def test_an_examination_that_breaks_hides_no_other(monkeypatch):
    def _broken_one(settings, env):
        raise RuntimeError("oops")
        yield

    monkeypatch.setattr(diagnosis, "EXAMINATIONS", (_broken_one, *diagnosis.EXAMINATIONS))

    found = findings()
    assert found["broken one"].state is State.WRONG
    assert "python" in found


def test_migrate_without_a_pipelines_file_leaves_pipelines_alone(tmp_path):
    env = {"FOURNIL_DATA_DIR": str(tmp_path / "data")}

    assert "its pipelines stay" in CliRunner(env=env).invoke(main, ["migrate"]).stderr
    write_pipelines(FAKE)
    assert "1 pipelines from pipelines.toml" in CliRunner(env=env).invoke(main, ["migrate"]).stderr
