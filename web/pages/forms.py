"""The form of a pipeline: built from its schemas, filled from an example or an earlier job, checked by the intake."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict

from contract.errors import ErrorCode, RequestError
from contract.pipelines import PipelineSpec
from contract.tasks import Task
from web.pages.fields import Control, choices, controls, values

_WAYS = {"text": "Continue a text", "messages": "Chat"}


@dataclasses.dataclass
class PipelineForm:
    """A WTForms form with the controls it was made from."""

    spec: PipelineSpec
    #: Which of several input fields that exclude each other is asked for; None where there is no choice.
    way: str | None
    inputs: list[Control]
    parameters: list[Control]
    form: FlaskForm
    #: Input fields whose file came with the form.
    parts: Collection[str] = ()
    #: Messages that belong to no field.
    problems: list[str] = dataclasses.field(default_factory=list)

    def body(self) -> dict[str, Any]:
        """The request that this form stands for."""
        parameters, inputs = values(self.form, self.parameters), values(self.form, self.inputs)
        # A file that was chosen now takes the place of one that was kept; a list has an empty place for it.
        inputs = {name: value for name, value in inputs.items() if name not in self.parts or isinstance(value, list)}
        body = {"pipeline": self.spec.name, "inputs": inputs}
        return body | ({"parameters": parameters} if parameters else {})

    def refuse(self, error: RequestError) -> None:
        """Put what the intake found wrong beside the fields it speaks of."""
        listed = (error.details or {}).get("problems") or [
            {"field": error.field, "code": error.code.value, "message": error.message}
        ]
        for problem in listed:
            control = self._control(problem["field"] or "")
            if control is None:
                self.problems.append(problem["message"])
            else:
                self._beside(control, problem)

    def _control(self, field: str) -> Control | None:
        asked = [*self.inputs, *self.parameters]
        fits = [control for control in asked if field == control.name or field.startswith(control.name + ".")]
        # "Give either text or messages": the one that was asked for is empty.
        return fits[0] if fits else next((control for control in self.inputs if field == "inputs"), None)

    def _beside(self, control: Control, problem: dict[str, Any]) -> None:
        field = self.form[control.name]
        if not field.errors:
            field.errors = [in_place(control, problem)]

    @property
    def unfold(self) -> bool:
        """Whether an optional parameter holds something that a reader must see."""
        folded = [control for control in self.parameters if not control.required]
        return bool(values(self.form, folded)) or any(self.form[control.name].errors for control in folded)

    @property
    def wrong(self) -> list[Control]:
        return [control for control in [*self.inputs, *self.parameters] if self.form[control.name].errors]


def in_place(control: Control, problem: dict[str, Any]) -> str:
    """The message as it reads beside the field, which need not be named again."""
    if problem["code"] == ErrorCode.MISSING_FIELD:
        return "This is needed."
    field, message = problem["field"], str(problem["message"])
    entry = field.removeprefix(control.name).strip(".").partition(".")[0]
    place = f"Entry {int(entry) + 1}" if entry.isdigit() else ""
    if message.startswith(field + " "):
        return (place or "This") + message.removeprefix(field)
    return f"{place}: {message}" if place else message


def pipeline_form(
    spec: PipelineSpec,
    *,
    way: str | None,
    posted: MultiDict[str, str] | None = None,
    request: dict[str, Any] | None = None,
    parts: Collection[str] = (),
) -> PipelineForm:
    """An empty form, one with what was `posted`, or one filled from an earlier `request`."""
    inputs = controls(spec.catalogue.inputs, at="inputs", only=way)
    parameters = controls(spec.parameters_schema(), at="parameters")
    form = _form(inputs + parameters)(formdata=posted, data=_filled(inputs + parameters, request))
    return PipelineForm(spec, way, inputs, parameters, form, parts)


def _form(asked: list[Control]) -> type[FlaskForm]:
    return type("Form", (FlaskForm,), {control.name: control.field() for control in asked})


def _filled(asked: list[Control], request: dict[str, Any] | None) -> dict[str, Any]:
    if request is None:
        return {}
    given = {f"{part}.{name}": value for part in ("inputs", "parameters") for name, value in request[part].items()}
    return {control.name: control.fill(given[control.name]) for control in asked if control.name in given}


def ways(task: Task) -> list[tuple[str, str]]:
    """`(field, what to call it)` where a task may be asked in several ways."""
    rules, known = task.inputs["properties"], choices(task.inputs)
    words = _WAYS if "messages" in known else {}
    return [(name, words.get(name, rules[name].get("title", name))) for name in known]


def way_of(task: Task, wanted: str | None, request: dict[str, Any] | None) -> str | None:
    """The way that is wanted, else that of the request to show, else the example's."""
    known = choices(task.inputs)
    if not known or wanted in known:
        return wanted if known else None
    given = (request or task.example)["inputs"]
    return next((name for name in known if name in given), known[0])


def example(task: Task, way: str | None) -> dict[str, Any]:
    """The catalogue's example, told in the way that is asked for."""
    inputs = task.example["inputs"]
    if way == "text" and "messages" in inputs:
        inputs = {"text": inputs["messages"][-1]["content"]}
    return {"inputs": inputs, "parameters": task.example.get("parameters", {})}


def parameters_form(spec: PipelineSpec, *, posted: MultiDict[str, str] | None) -> PipelineForm:
    """The parameters alone, for all rows of a file."""
    parameters = controls(spec.parameters_schema(), at="parameters")
    return PipelineForm(spec, None, [], parameters, _form(parameters)(formdata=posted))
