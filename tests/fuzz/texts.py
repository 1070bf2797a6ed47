"""Files of text: CSV in any dialect, JSON Lines, JSON arrays and plain lines, in encodings of the world."""

from __future__ import annotations

import json
import random
import string
from typing import Any

_USUAL = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "cp1252")
_UNUSUAL = (
    "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "latin-1", "cp1251", "cp437", "cp500", "koi8-r", "shift_jis",
    "gb18030", "big5", "euc_kr", "iso2022_jp", "utf-7", "mac_roman",
)  # fmt: skip
_SIGNS = (
    "a", "text", "0", "-1", "1.5e308", "true", "null", " ", "  ", "\t", ",", ";", "|", '"', '""', "'", "\\", "\\n",
    "é", "ß", "ж", "中文", "한", "😀", "\ufeff", "\u2028", "\x85", "\x0b", "\x0c", "\x1c", "\x1f", "\x7f", "\u200f",
    "\ufffd", "=1+1", "{", "}", "[", "]", "<!doctype", "sep=;", "PAR1", "\0", "\u0a0a", "\u0d0a", "id", "\U0010ffff",
)  # fmt: skip
_HEADERS = (
    "text",
    "id",
    "label",
    "Review",
    "text",
    "",
    " ",
    "n",
    "parameters.top_k",
    "é",
    '"',
    "k" * 300,
    "\ufeff",
    "0",
)
_BREAKS = ("\n", "\n", "\n", "\r\n", "\r\n", "\r", "\n\r", "\n\n", "\u2028")


def words(rng: random.Random, most: int = 6) -> str:
    if rng.random() < 0.6:
        return "".join(rng.choices(string.ascii_letters + " ", k=rng.randrange(30)))
    if rng.random() < 0.003:
        return rng.choice(_SIGNS) * rng.choice((5_000, 300_000))
    return "".join(rng.choices(_SIGNS, k=rng.randrange(most)))


def _encoded(rng: random.Random, text: str) -> bytes:
    encoding = rng.choice(_USUAL if rng.random() < 0.8 else _UNUSUAL)
    if encoding.startswith(("utf-8", "utf-16", "utf-32")):
        # Halves of surrogate pairs too, as JavaScript writes them.
        return text.encode(encoding, "surrogatepass")
    return text.encode(encoding, rng.choice(("replace", "ignore", "xmlcharrefreplace")))


def csv_file(rng: random.Random) -> bytes:
    delimiter, line = rng.choice(",,,;;\t|:^"), rng.choice(_BREAKS)
    width = rng.choice((1, 1, 2, 3, 5, 40))
    rows = [[rng.choice(_HEADERS) for _ in range(width)]] if rng.random() < 0.9 else []
    for _ in range(rng.choice((0, 1, 3, 12, 60))):
        cells = width if rng.random() < 0.9 else rng.randrange(width + 3)
        rows.append([words(rng) for _ in range(cells)])
    if rows and rows[0] and rng.random() < 0.5:
        rows[0][0] = "text"
    quoting = rng.choice(("needed", "all", "none", "backslash"))
    text = line.join(delimiter.join(_quoted(cell, quoting, delimiter) for cell in row) for row in rows)
    text = ("sep=" + delimiter + line if rng.random() < 0.05 else "") + text + (line if rng.random() < 0.8 else "")
    return _encoded(rng, text)


def _quoted(cell: str, how: str, delimiter: str) -> str:
    if how == "none" or (how == "needed" and not any(sign in cell for sign in (delimiter, '"', "\n", "\r"))):
        return cell
    return '"' + (cell.replace('"', '\\"') if how == "backslash" else cell.replace('"', '""')) + '"'


def value(rng: random.Random, depth: int = 0) -> Any:
    """Anything that JSON can say, and some of what it cannot."""
    if depth < 4 and rng.random() < 0.25:
        if rng.random() < 0.5:
            return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
        return {words(rng, 3): value(rng, depth + 1) for _ in range(rng.randrange(4))}
    if rng.random() < 0.02:
        return rng.choice((2**64, -(2**63) - 1, 10**400, float("nan"), float("inf"), "\ud800"))
    return rng.choice((None, True, False, 0, -1, 2**63, 1.5, -0.0, 5e-324, 1e308, words(rng), words(rng), words(rng)))


def _row(rng: random.Random) -> Any:
    kind = rng.random()
    if kind < 0.6:
        return {"text": words(rng), **({"id": rng.randrange(9)} if rng.random() < 0.5 else {}), "more": value(rng)}
    return words(rng) if kind < 0.8 else value(rng)


def _written(rng: random.Random, one: Any) -> str:
    if rng.random() < 0.01:
        return rng.choice(("[", '{"a":')) * rng.choice((50, 500, 2_000, 100_000))
    indent = rng.choice((None, None, None, None, 1))
    text = json.dumps(one, ensure_ascii=rng.random() < 0.5, indent=indent)
    # A key twice.
    return text.replace('"more"', '"text"') if rng.random() < 0.05 else text


def jsonl_file(rng: random.Random) -> bytes:
    line = rng.choice(_BREAKS)
    rows = [_written(rng, _row(rng)) for _ in range(rng.choice((0, 1, 3, 12, 60)))]
    return _encoded(rng, line.join(rows) + (line if rng.random() < 0.8 else ""))


def json_file(rng: random.Random) -> bytes:
    rows = [_written(rng, _row(rng)) for _ in range(rng.choice((0, 1, 3, 12, 60)))]
    blank = rng.choice(("", " ", "\n", "\n\t ", "\r\n", "\xa0"))
    text = "[" + blank + f",{blank}".join(rows) + blank + "]"
    return _encoded(rng, text + rng.choice(("", "\n", "\n\n", " ", "]", "\0")))


def text_file(rng: random.Random) -> bytes:
    line = rng.choice(_BREAKS)
    return _encoded(rng, line.join(words(rng, 12) for _ in range(rng.choice((0, 1, 3, 12, 60, 400)))))
