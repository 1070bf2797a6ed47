"""The broker that `up` starts: private to its stack, and on again with its data after a kill."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

import pytest
import redis

from cli import diagnosis
from cli.diagnosis import State
from cli.stack.logbook import Logbook
from cli.stack.signals import Signals
from cli.stack.supervisor import Supervisor
from cli.stack.valkey import EmbeddedValkey, find_server
from contract.options import SettingsError
from tests.processes import wait_until


@pytest.fixture
def supervisor(tmp_path) -> Iterator[Supervisor]:
    signals = Signals()
    built = Supervisor(Logbook(tmp_path / "logs"), signals)
    yield built
    built.stop()
    signals.close()


@pytest.fixture
def start(supervisor):
    """Start a Valkey in a folder under a name, and wait for its PONG."""

    def begin(folder, name: str = "valkey") -> EmbeddedValkey:
        valkey = EmbeddedValkey(find_server(""), folder)
        program = valkey.program(dict(os.environ))
        supervisor.start(type(program)(name, program.argv, program.stage, program.env))
        assert supervisor.run_until(valkey.answers, seconds=20), supervisor.logbook.tail(name)
        return valkey

    return begin


def test_it_keeps_everything_and_evicts_nothing(start, tmp_path):
    client = redis.Redis.from_url(start(tmp_path / "valkey").url)

    assert client.config_get("appendonly") == {"appendonly": "yes"}
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_its_password_is_readable_by_its_owner_only_and_in_no_argument(start, supervisor, tmp_path):
    valkey = start(tmp_path / "valkey")

    for name in ("password", "valkey.conf"):
        assert stat.S_IMODE((tmp_path / "valkey" / name).stat().st_mode) == 0o600
    assert valkey.password not in " ".join(supervisor.children["valkey"].program.argv)
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=valkey.port).ping()


def test_after_a_kill_it_is_back_on_the_same_port_with_the_same_data(start, supervisor, tmp_path):
    valkey = start(tmp_path / "valkey")
    client = redis.Redis.from_url(valkey.url)
    client.set("kept", "yes")
    # appendfsync everysec: what the kernel has survives the kill of a process.
    first = supervisor.children["valkey"].pid

    os.kill(first, 9)
    assert supervisor.run_until(lambda: _new_pid(supervisor, first) and valkey.answers(), seconds=20)

    assert client.get("kept") == b"yes"


def test_two_of_them_never_meet(start, tmp_path):
    one, two = start(tmp_path / "one", "one"), start(tmp_path / "two", "two")

    assert one.port != two.port
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=two.port, password=one.password).ping()


def test_a_stranger_on_its_port_is_not_taken_for_it(start, tmp_path):
    stranger = start(tmp_path / "stranger")
    ours = EmbeddedValkey(find_server(""), tmp_path / "ours")
    assert not ours.answers()

    ours.port = stranger.port

    assert not ours.answers()


def test_a_second_start_finds_password_and_data(start, supervisor, tmp_path):
    first = start(tmp_path / "valkey")
    redis.Redis.from_url(first.url).set("kept", "yes")
    os.kill(supervisor.children["valkey"].pid, 15)
    wait_until(lambda: not first.answers(), what="the end of the first")

    second = start(tmp_path / "valkey", "second")

    assert second.password == first.password
    assert redis.Redis.from_url(second.url).get("kept") == b"yes"


def test_data_it_cannot_read_is_set_aside_and_kept(tmp_path):
    valkey = EmbeddedValkey(find_server(""), tmp_path)
    assert valkey.set_aside() is None
    (tmp_path / "appendonlydir").mkdir()

    aside = valkey.set_aside()

    assert aside is not None
    assert aside.is_dir()
    assert not (tmp_path / "appendonlydir").exists()


def test_another_server_may_be_named():
    assert find_server("sh").endswith("/sh")
    with pytest.raises(SettingsError, match="no-such-server, which is not a program"):
        find_server("no-such-server")


def test_the_doctor_refuses_a_broker_that_may_forget(start, tmp_path):
    url = start(tmp_path / "valkey").url

    assert diagnosis._external_broker(url).state is State.GOOD
    redis.Redis.from_url(url).config_set("maxmemory-policy", "allkeys-lru")
    assert "may evict messages" in diagnosis._external_broker(url).words


def _new_pid(supervisor: Supervisor, old: int) -> bool:
    child = supervisor.children.get("valkey")
    return child is not None and child.pid != old
