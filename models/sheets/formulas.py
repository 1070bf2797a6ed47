"""Texts that a spreadsheet would run: a cell that begins like a formula gets a quote before it."""

from __future__ import annotations

#: The last four are the first in the width of East Asian letters, which some spreadsheets take for them.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def defused(text: str) -> str:
    """A spreadsheet would run a text that begins like a formula; with a quote before it is a text again."""
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    # float() takes "-inf", "+1_000" and blanks around; a spreadsheet need not.
    return text[1:].replace(".", "").replace("e", "").replace("E", "").replace("-", "").replace("+", "").isdigit()
