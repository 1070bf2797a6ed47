"""What a caller reads when a row is refused: one sentence that says what to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contract.errors import ErrorCode, InputError


def too_long(tokens: int, limit: int, what: str = "This text", *, is_cut: bool = True) -> InputError:
    """`is_cut`: whether the task would cut it where that is asked."""
    advice = "Shorten it or send truncation: true." if is_cut else "Shorten it."
    return InputError(
        ErrorCode.INPUT_TOO_LONG,
        f"{what} has {tokens} tokens; the model takes {limit}. {advice}",
        details={"tokens": tokens, "limit": limit},
    )


def too_long_label(tokens: int, limit: int) -> InputError:
    return InputError(
        ErrorCode.INPUT_TOO_LONG,
        f"A candidate label has {tokens} tokens; the model takes {limit}. Shorten it.",
        field="parameters.candidate_labels",
        details={"tokens": tokens, "limit": limit},
    )


def rejected(sentence: str, field: str | None = None) -> InputError:
    return InputError(ErrorCode.INPUT_REJECTED, sentence, field=field)


def of_writing(parameters: Mapping[str, Any], most: int, beams: int, *, draws: bool) -> InputError | None:
    """Where a text cannot be written as is asked: up to `most` tokens, in so many beams, drawn or not."""
    return (
        _more_than_most(parameters, most)
        or _more_than_written(parameters, beams, draws=draws)
        or _unreadable_words(parameters)
    )


def _more_than_most(parameters: Mapping[str, Any], most: int) -> InputError | None:
    """Where a text is to have more new tokens at least than at most."""
    if parameters.get("min_new_tokens", 0) <= most:
        return None
    return rejected(f"min_new_tokens is above max_new_tokens, which is {most}.", "parameters.min_new_tokens")


def _more_than_written(parameters: Mapping[str, Any], beams: int, *, draws: bool) -> InputError | None:
    """Where more texts are to be returned than are written."""
    several = parameters.get("num_return_sequences", 1)
    if several == 1 or (draws and beams == 1):
        return None
    field = "parameters.num_return_sequences"
    if beams == 1:
        return rejected("The likeliest text is one. For several send num_beams of as many, or draw them.", field)
    return rejected(f"num_return_sequences is above num_beams, which is {beams}.", field) if several > beams else None


def _unreadable_words(parameters: Mapping[str, Any]) -> InputError | None:
    """Where words that are not to be written are none."""
    if all(map(is_unicode, parameters.get("bad_words", ()))):
        return None
    return rejected("A word of bad_words holds half a character (a lone surrogate).", "parameters.bad_words")


def half_a_character() -> InputError:
    return rejected("This text holds half a character (a lone surrogate). Send it as valid Unicode.")


def nothing_left() -> InputError:
    return rejected("The model's tokenizer finds nothing in this text. Send some words.")


def unreadable() -> InputError:
    return rejected("The model's tokenizer cannot read this text. Send plain text.")


def not_finite(what: str = "text") -> InputError:
    return InputError(
        ErrorCode.RESULT_NOT_FINITE,
        f"The model's arithmetic overflowed on this {what}, so that there is no number to return. Change the {what}, "
        "or ask the operator to run this pipeline as float32.",
    )


def is_unicode(text: str) -> bool:
    """False for lone surrogates, which no tokenizer takes and which would fail a whole batch."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
