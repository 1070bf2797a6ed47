"""Device slots from `auto`, `cpu`, `cpu*2`, `cuda:0,cuda:1`: one process each.

What holds a process to its device is fixed by its parent, before it imports torch.
A CPU slot gets a share of the cores this process may use, and no more threads than its container's quota of time is
enough for. A GPU slot sees one GPU, which is therefore always its `cuda:0`; CUDA_VISIBLE_DEVICES, where it is set,
says which GPUs there are and in what order.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from contract.options import SettingsError


@dataclasses.dataclass(frozen=True)
class Slot:
    name: str
    #: As the child knows it: cpu, or cuda:0.
    device: str
    threads: int
    #: The cores it is held to; None: all.
    cpus: frozenset[int] | None = None
    #: CUDA_VISIBLE_DEVICES of the child; empty hides every GPU.
    visible: str = ""

    def environment(self) -> dict[str, str]:
        return {
            "FOURNIL_SLOT": self.name,
            "FOURNIL_SLOT_DEVICE": self.device,
            "FOURNIL_SLOT_THREADS": str(self.threads),
            "OMP_NUM_THREADS": str(self.threads),
            "CUDA_VISIBLE_DEVICES": self.visible,
        }


def slots(words: str, *, cores: Sequence[int], at_once: int, gpus: Sequence[str]) -> list[Slot]:
    """The slots that `words` (already checked by its setting) asks for on a machine with these cores and GPUs.

    `at_once`: how many of the cores may be busy together.
    """
    if words == "auto":
        words = ",".join(f"cuda:{number}" for number in range(len(gpus))) or "cpu"
    parts = [(kind, int(count or 1)) for kind, _, count in (part.partition("*") for part in words.split(","))]
    _refuse_doubles([kind for kind, _ in parts])
    cpu_slots = sum(count for kind, count in parts if kind == "cpu")
    cuda_slots = [int(kind.removeprefix("cuda:")) for kind, _ in parts if kind != "cpu"]
    return [
        *_cuda_slots(cuda_slots, gpus, threads=max(1, at_once // len([*cuda_slots, *range(cpu_slots)]))),
        *_cpu_slots(cpu_slots, cores, at_once),
    ]


def find_gpus(env: Mapping[str, str]) -> list[str]:
    """What CUDA_VISIBLE_DEVICES may name, without importing torch: asked of nvidia-smi, else counted in /dev."""
    present = _gpus_of_nvidia_smi() or _gpus_of_dev()
    named = env.get("CUDA_VISIBLE_DEVICES")
    if named is None or not present:
        return present
    ids = [part.strip() for part in named.split(",")]
    # As CUDA reads it: everything after the first number that is none is invisible.
    end = next((place for place, gpu in enumerate(ids) if gpu in ("", "-1")), len(ids))
    return ids[:end]


def _refuse_doubles(kinds: list[str]) -> None:
    for kind, count in Counter(kinds).items():
        if count > 1:
            hint = "; write cpu*2 for two" if kind == "cpu" else ""
            raise SettingsError(f"The devices name {kind} twice{hint}.")


def _cuda_slots(numbers: list[int], gpus: Sequence[str], *, threads: int) -> list[Slot]:
    for number in numbers:
        if number >= len(gpus):
            seen = f"there are {len(gpus)}, counted from cuda:0" if gpus else "this machine shows none"
            raise SettingsError(f"The devices name cuda:{number}, but {seen}.")
    return [Slot(f"cuda{number}", "cuda:0", threads, visible=gpus[number]) for number in numbers]


def _cpu_slots(count: int, cores: Sequence[int], at_once: int) -> list[Slot]:
    if count > at_once:
        raise SettingsError(f"The devices ask for cpu*{count}, but this machine gives us {at_once} cores.")
    shares = [cores[len(cores) * i // count : len(cores) * (i + 1) // count] for i in range(count)]
    threads = [at_once * (i + 1) // count - at_once * i // count for i in range(count)]
    return [
        Slot(f"cpu{i}", "cpu", mine, cpus=frozenset(share))
        for i, (share, mine) in enumerate(zip(shares, threads, strict=True))
    ]


def _gpus_of_nvidia_smi() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    count = sum(line.startswith("GPU ") for line in listed.splitlines())
    return [str(number) for number in range(count)]


def _gpus_of_dev() -> list[str]:
    return sorted(path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
