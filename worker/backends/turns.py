"""A conversation as its model's chat template writes it, up to where the model goes on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import jinja2

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Parameters

#: What a template may write besides the turns.
_BESIDES = ("tools", "documents")


def rendered(template: Any, messages: Sequence[dict[str, Any]], parameters: Parameters) -> str:
    """`template`: a tokenizer or processor that has one. Raises InputError."""
    goes_on = parameters["continue_final_message"]
    if goes_on and messages[-1]["role"] != "assistant":
        raise _no_begun_answer("The last message is not the assistant's, so there is none to go on with.")
    besides = _besides(template, parameters)
    try:
        text = template.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=not goes_on, continue_final_message=goes_on, **besides
        )
    except (jinja2.TemplateError, TypeError) as error:
        raise _not_taken(besides) from error
    except ValueError as error:
        if not goes_on:
            raise
        # Some templates leave the last message out, or change it.
        raise _no_begun_answer("This model's chat template cannot leave the last message open.") from error
    if not refusals.is_unicode(text):
        raise refusals.half_a_character()
    return str(text)


def _besides(template: Any, parameters: Parameters) -> dict[str, Any]:
    """Tools and documents; refused where the template would drop them without a word."""
    asked = {name: parameters[name] for name in _BESIDES if name in parameters}
    written = template.chat_template
    sources = " ".join(written.values()) if isinstance(written, dict) else str(written)
    for name in asked:
        if not re.search(rf"\b{name}\b", sources):
            raise refusals.rejected(f"This model's chat template takes no {name}: leave them out.", _at(name))
    return asked


def _not_taken(besides: dict[str, Any]) -> InputError:
    if besides:
        return refusals.rejected(
            f"This model's chat template does not take these {' or '.join(besides)}, or these roles in this order. "
            "Write each as its model card does.",
            _at(next(iter(besides))),
        )
    return refusals.rejected(
        "This model's chat template does not take these roles in this order. Most want one system message "
        "at most, then user and assistant by turns.",
        "inputs.messages",
    )


def of_an_example(parameters: Parameters) -> Parameters:
    """For a row that is no conversation, or begins one: without what only some conversations take."""
    kept = {name: value for name, value in parameters.items() if name not in _BESIDES}
    return {**kept, "continue_final_message": False}


def none_of_text(row: dict[str, Any], parameters: Parameters) -> None:
    """Raises InputError where a text is sent with what only messages have."""
    if "messages" in row:
        return
    if parameters["continue_final_message"]:
        raise _no_begun_answer("Only messages have a last one to go on with. A text is always gone on with.")
    for name in _BESIDES:
        if name in parameters:
            raise refusals.rejected(f"Only messages come with {name}. Send inputs.messages.", _at(name))


def _no_begun_answer(sentence: str) -> InputError:
    return refusals.rejected(sentence, "parameters.continue_final_message")


def _at(name: str) -> str:
    return f"parameters.{name}"
