"""A conversation as its model's chat template writes it, up to where the model goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jinja2

from contract.errors import InputError
from worker.backends import refusals
from worker.backends.backend import Parameters


def rendered(template: Any, messages: Sequence[dict[str, Any]], parameters: Parameters) -> str:
    """`template`: a tokenizer or processor that has one. Raises InputError."""
    goes_on = parameters["continue_final_message"]
    if goes_on and messages[-1]["role"] != "assistant":
        raise _no_begun_answer("The last message is not the assistant's, so there is none to go on with.")
    try:
        return str(
            template.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=not goes_on, continue_final_message=goes_on
            )
        )
    except jinja2.TemplateError as error:
        raise refusals.rejected(
            "This model's chat template does not take these roles in this order. Most want one system message "
            "at most, then user and assistant by turns.",
            "inputs.messages",
        ) from error
    except ValueError as error:
        if not goes_on:
            raise
        # Some templates leave the last message out, or change it.
        raise _no_begun_answer("This model's chat template cannot leave the last message open.") from error


def none_of_text(row: dict[str, Any], parameters: Parameters) -> None:
    """Raises InputError where a text is to be gone on with as if it were a message."""
    if parameters["continue_final_message"] and "messages" not in row:
        raise _no_begun_answer("Only messages have a last one to go on with. A text is always gone on with.")


def _no_begun_answer(sentence: str) -> InputError:
    return refusals.rejected(sentence, "parameters.continue_final_message")
