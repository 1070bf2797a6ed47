"""The rules of the house that concern web/: what it may load, and that it speaks as the worker does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest

from contract.brokers import celery_url
from contract.settings import Broker, Settings
from web.app import create_app
from web.broker import producer
from web.schemas import COMPONENTS


def test_the_web_loads_neither_torch_nor_the_worker():
    program = (
        "import sys, web.wsgi, web.app, importlib\n"
        "[importlib.import_module(name) for name in web.app.PARTS]\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted({'torch', 'transformers', 'worker', 'cli', 'numpy'} & loaded))"
    )

    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_importing_the_entry_does_nothing(tmp_path):
    subprocess.run([sys.executable, "-c", "import web.wsgi"], cwd=tmp_path, check=True, env=_paths())

    assert list(tmp_path.iterdir()) == []


def test_a_bad_setting_stops_the_entry_with_a_sentence(tmp_path):
    program = "import web.wsgi; web.wsgi.application()"
    env = {**_paths(), "FOURNIL_PORT": "many"}

    found = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True)

    assert found.returncode == 1
    assert "FOURNIL_PORT is 'many'" in found.stderr
    assert "Traceback" not in found.stderr


def _paths():
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("unix:///tmp/v.sock", "redis+socket:///tmp/v.sock"),
        ("unix://:pw@/tmp/v.sock?db=3", "redis+socket://:pw@/tmp/v.sock?virtual_host=3"),
    ],
)
def test_a_broker_url_as_kombu_writes_it(url, expected):
    assert celery_url(url) == expected


def test_producer_and_consumer_agree_on_how_messages_are_kept():
    app = pytest.importorskip("worker.app")
    theirs = app.transport_options("p")

    ours = producer(Broker(url="redis://h", prefix="p")).conf.broker_transport_options

    for name in ("visibility_timeout", "priority_steps", "global_keyprefix"):
        assert ours[name] == theirs[name]


@pytest.mark.parametrize("name", sorted(COMPONENTS))
def test_each_component_is_a_json_schema(name):
    jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **COMPONENTS[name]})


def test_every_route_of_the_api_is_described(tmp_path):
    app = create_app(_settings(tmp_path))
    missing = [
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(("/api/v1", "/livez", "/readyz", "/metrics"))
        and not hasattr(app.view_functions[rule.endpoint], "operation")
    ]

    assert missing == []


def test_the_secret_key_is_made_once_and_kept(tmp_path):
    first, second = (create_app(_settings(tmp_path)).secret_key for _ in range(2))

    assert first == second
    assert (tmp_path / "secret-key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]


def _settings(folder):
    return Settings.from_env({"FOURNIL_DATA_DIR": str(folder)})
