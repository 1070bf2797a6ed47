"""The form that names a dataset of the Hub as the rows of a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from contract.errors import ErrorCode, FournilError
from contract.pipelines import PipelineSpec
from contract.settings import Settings
from models.hub.dataset import Reach
from models.sheets.preview import Preview


@dataclasses.dataclass(frozen=True)
class TextControl:
    """One text control; `field` is what the API calls the same, below `dataset`."""

    field: str
    title: str
    help: str
    placeholder: str = ""


NAME = TextControl("name", "Dataset", "As the Hub has it: owner/name.", "owner/name")
COLUMN = TextControl("column", "Column", "The one that is sent. Left empty: found by its name.")
CONTROLS = (
    NAME,
    TextControl("config", "Config", "Left empty: the only one, or its default."),
    TextControl("split", "Split", "Left empty: the only one, or train."),
    TextControl("revision", "Revision", "Branch, tag or commit; the batch keeps to the commit it is at now.", "main"),
    COLUMN,
)


@dataclasses.dataclass
class DatasetForm:
    """What was written, and what is wrong with it, by the name of a control."""

    written: dict[str, str] = dataclasses.field(default_factory=dict)
    wrong: dict[str, str] = dataclasses.field(default_factory=dict)
    #: Messages that belong to no control.
    problems: list[str] = dataclasses.field(default_factory=list)
    controls: tuple[TextControl, ...] = CONTROLS
    #: What a look at it came to, where one was asked for.
    seen: Preview | None = None

    @classmethod
    def posted(cls, form: Mapping[str, str]) -> DatasetForm:
        words = {control.field: form.get(f"dataset.{control.field}", "").strip() for control in CONTROLS}
        return cls({field: word for field, word in words.items() if word})

    def body(self, spec: PipelineSpec) -> dict[str, Any]:
        """The body that POST /api/v1/batches takes for the same batch."""
        dataset = {field: word for field, word in self.written.items() if field != COLUMN.field}
        column = self.written.get(COLUMN.field)
        inputs = {"inputs": {spec.catalogue.main_field: column}} if column else {}
        return {"pipeline": spec.name, "dataset": dataset, **inputs}

    def refuse(self, error: FournilError) -> None:
        """Put what is wrong beside the controls it speaks of."""
        listed = (error.details or {}).get("problems") or [
            {"field": error.field, "code": error.code.value, "message": error.message}
        ]
        for problem in listed:
            field = problem["field"] or ""
            control = self._control(field)
            if control is None:
                self.problems.append(problem["message"])
            elif problem["code"] == ErrorCode.MISSING_FIELD and control is NAME:
                self.wrong.setdefault(control.field, "This is needed.")
            else:
                self.wrong.setdefault(control.field, _in_place(field, str(problem["message"])))

    def _control(self, field: str) -> TextControl | None:
        if field.startswith("inputs"):
            return COLUMN
        return next((control for control in CONTROLS if field == f"dataset.{control.field}"), None)


def _in_place(field: str, message: str) -> str:
    """The message as it reads beside its control, which need not be named again."""
    return "This" + message.removeprefix(field) if message.startswith(field + " ") else message


def are_offered(settings: Settings) -> bool:
    """Whether this server can read any: the library is there, and something that it may read from."""
    reach = Reach.of(settings)
    return (reach.hub or reach.folder is not None) and find_spec("datasets") is not None
