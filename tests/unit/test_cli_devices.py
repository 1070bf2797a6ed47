"""Device slots: who gets which cores and which GPU."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cli.stack import devices
from cli.stack.devices import Slot, find_gpus
from contract.options import SettingsError

CORES = [0, 1, 2, 3]


def slots(words: str, *, cores: list[int], gpus: list[str], at_once: int | None = None) -> list[Slot]:
    return devices.slots(words, cores=cores, at_once=at_once or len(cores), gpus=gpus)


def test_auto_without_a_gpu_is_one_slot_with_all_cores():
    (slot,) = slots("auto", cores=CORES, gpus=[])

    assert (slot.name, slot.device, slot.threads, slot.cpus) == ("cpu0", "cpu", 4, frozenset(CORES))


def test_auto_takes_every_gpu():
    found = slots("auto", cores=CORES, gpus=["0", "1"])

    assert [(slot.name, slot.visible, slot.threads, slot.cpus) for slot in found] == [
        ("cuda0", "0", 2, None),
        ("cuda1", "1", 2, None),
    ]


def test_a_gpu_slot_sees_its_gpu_as_the_only_one():
    (slot,) = slots("cuda:1", cores=CORES, gpus=["2", "GPU-abc"])

    assert slot.environment() == {
        "FOURNIL_SLOT": "cuda1",
        "FOURNIL_SLOT_DEVICE": "cuda:0",
        "FOURNIL_SLOT_THREADS": "4",
        "OMP_NUM_THREADS": "4",
        "CUDA_VISIBLE_DEVICES": "GPU-abc",
    }


@pytest.mark.parametrize(("count", "sizes"), [(1, [5]), (2, [2, 3]), (3, [1, 2, 2]), (5, [1] * 5)])
def test_cpu_slots_share_all_cores_and_no_core_twice(count, sizes):
    cores = [0, 2, 4, 6, 8]
    found = slots(f"cpu*{count}", cores=cores, gpus=[])

    assert [slot.threads for slot in found] == sizes
    assert sorted(core for slot in found for core in slot.cpus) == cores
    assert {slot.visible for slot in found} == {""}


def test_gpus_and_cpu_slots_stand_side_by_side():
    found = slots("cuda:0,cpu*2", cores=CORES, gpus=["0"])

    assert [slot.name for slot in found] == ["cuda0", "cpu0", "cpu1"]


@pytest.mark.parametrize(
    ("words", "gpus", "said"),
    [
        ("cpu*5", [], "cpu*5, but this machine gives us 4 cores"),
        ("cuda:0", [], "cuda:0, but this machine shows none"),
        ("cuda:2", ["0", "1"], "cuda:2, but there are 2, counted from cuda:0"),
        ("cpu,cpu", [], "cpu twice; write cpu*2"),
        ("cuda:0,cuda:0", ["0"], "cuda:0 twice"),
    ],
)
def test_devices_that_cannot_be_are_refused_in_words(words, gpus, said):
    with pytest.raises(SettingsError) as refused:
        slots(words, cores=CORES, gpus=gpus)

    assert said in str(refused.value)


@pytest.mark.parametrize(("words", "threads"), [("cpu", [3]), ("cpu*2", [1, 2]), ("cpu*3", [1, 1, 1])])
def test_a_container_with_a_quota_gets_no_more_threads_than_that(words, threads):
    """Its slots are held to their share of all cores, so that other containers find some free."""
    cores = list(range(12))
    found = slots(words, cores=cores, at_once=3, gpus=[])

    assert [slot.threads for slot in found] == threads
    assert sorted(core for slot in found for core in slot.cpus) == cores


def test_a_gpu_in_a_container_with_a_quota_gets_no_more_threads_either():
    (slot,) = slots("auto", cores=list(range(12)), at_once=3, gpus=["0"])

    assert slot.threads == 3


def test_more_slots_than_a_quota_is_enough_for_are_refused():
    with pytest.raises(SettingsError, match="gives us 3 cores"):
        slots("cpu*4", cores=list(range(12)), at_once=3, gpus=[])


@pytest.mark.parametrize(
    ("visible", "found"),
    [(None, ["0", "1", "2"]), ("2,0", ["2", "0"]), ("", []), ("-1", []), ("1,-1,0", ["1"]), ("GPU-a", ["GPU-a"])],
)
def test_cuda_visible_devices_is_respected(monkeypatch, visible, found):
    monkeypatch.setattr(devices, "_gpus_of_nvidia_smi", lambda: ["0", "1", "2"])

    assert find_gpus({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}) == found


def test_a_variable_makes_no_gpu_where_there_is_none(monkeypatch):
    monkeypatch.setattr(devices, "_gpus_of_nvidia_smi", list)
    monkeypatch.setattr(devices, "_gpus_of_dev", list)

    assert find_gpus({"CUDA_VISIBLE_DEVICES": "0"}) == []


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A program of that name on the PATH that prints and exits as told."""

    def make(script: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return make


def test_nvidia_smi_is_asked_first(nvidia_smi):
    nvidia_smi("echo 'GPU 0: One (UUID: GPU-1)'; echo 'GPU 1: Two (UUID: GPU-2)'")

    assert find_gpus({}) == ["0", "1"]


def test_a_driver_that_fails_is_no_gpu(nvidia_smi, monkeypatch):
    nvidia_smi("echo 'no driver' >&2; exit 9")
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter(()))

    assert find_gpus({}) == []


def test_device_files_count_where_there_is_no_nvidia_smi(monkeypatch):
    monkeypatch.setattr(devices.shutil, "which", lambda name: None)
    monkeypatch.setattr(Path, "glob", lambda self, pattern: iter([Path("/dev/nvidia1"), Path("/dev/nvidia0")]))

    assert find_gpus({}) == ["0", "1"]


def test_finding_gpus_never_hangs_on_a_stuck_driver(nvidia_smi, monkeypatch):
    def stuck(*args, timeout, **more):
        raise subprocess.TimeoutExpired("nvidia-smi", timeout)

    nvidia_smi("true")
    monkeypatch.setattr(devices.subprocess, "run", stuck)
    monkeypatch.setattr(devices, "_gpus_of_dev", list)

    assert find_gpus({}) == []
