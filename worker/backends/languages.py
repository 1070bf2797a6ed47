"""From which language into which: what a checkpoint knows, and how it is told.

Five ways are in use. Codes that the tokenizer has tokens for (mBART, NLLB, M2M100); a token before the text that
names the language to write (Marian models of several); one pair that never changes (Marian); words before the text
(T5); and tokenizers that say nothing, which have one pair.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from contract.errors import InputError
from worker.backends import refusals

_CODE = re.compile(r"_{0,2}([a-z]{2,3}(_[A-Za-z]{2,4})?)_{0,2}\Z")
_SHOWN = 6
#: T5 was trained on these by name.
_NAMES = {"en": "English", "de": "German", "fr": "French", "ro": "Romanian"}


@dataclasses.dataclass(frozen=True)
class Direction:
    """How a text is to be read and written."""

    #: Put before the text.
    prefix: str = ""
    #: Set as the tokenizer's source language.
    source: str | None = None
    #: The token that the answer begins with.
    first_token: int | None = None


class Languages:
    def __init__(self, tokenizer: Any, config: Any) -> None:
        self._tokenizer = tokenizer
        self._config = config
        # Only those that translate between many have this method; their codes are tokens.
        self.codes = _codes(tokenizer) if hasattr(tokenizer, "_build_translation_inputs") else []
        self._targets = [code.strip("><") for code in getattr(tokenizer, "supported_language_codes", None) or ()]
        self._pair = (getattr(tokenizer, "source_lang", None), getattr(tokenizer, "target_lang", None))

    def some_pair(self) -> dict[str, str]:
        """Parameters of one direction that it knows; none where it needs none."""
        if self.codes:
            return {"src_lang": self.codes[0], "tgt_lang": self.codes[-1]}
        return {"tgt_lang": self._targets[0]} if self._targets else {}

    def direction(self, source: str | None, target: str | None) -> Direction | InputError:
        if not all(refusals.is_unicode(word) for word in (source, target) if word):
            return refusals.half_a_character()
        if self.codes:
            return self._by_code(source, target)
        if self._targets:
            return self._by_prefix(target)
        if self._config.model_type == "t5":
            return Direction(prefix=_prefix(self._config, source, target))
        return self._checked(source, target)

    def _by_code(self, source: str | None, target: str | None) -> Direction | InputError:
        found = {}
        for field, word in (("src_lang", source), ("tgt_lang", target)):
            code = self._code(word) if word else None
            if code is None:
                return self._unknown(field, word, self.codes)
            found[field] = code
        return Direction(source=found["src_lang"], first_token=self._token(found["tgt_lang"]))

    def _code(self, word: str) -> str | None:
        """The code itself, or the only one that begins so: de for de_DE."""
        if word in self.codes:
            return word
        alike = [code for code in self.codes if code.partition("_")[0] == word]
        return alike[0] if len(alike) == 1 else None

    def _token(self, code: str) -> int:
        of_code = getattr(self._tokenizer, "get_lang_id", None)
        return int(of_code(code) if of_code else self._tokenizer.convert_tokens_to_ids(code))

    def _by_prefix(self, target: str | None) -> Direction | InputError:
        if target not in self._targets:
            return self._unknown("tgt_lang", target, self._targets)
        return Direction(prefix=f">>{target}<< ")

    def _checked(self, source: str | None, target: str | None) -> Direction | InputError:
        for field, word, own in zip(("src_lang", "tgt_lang"), (source, target), self._pair, strict=True):
            if word and own and word != own:
                return refusals.rejected(
                    f"This model translates from {self._pair[0]} into {self._pair[1]}. Leave {field} out, or choose "
                    "another pipeline.",
                    f"parameters.{field}",
                )
        return Direction()

    def _unknown(self, field: str, word: str | None, known: list[str]) -> InputError:
        shown = ", ".join(known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")
        said = f"does not know the language '{word[:20]}'" if word else f"needs {field}"
        return refusals.rejected(f"This model {said}. It knows {shown}.", f"parameters.{field}")


def _codes(tokenizer: Any) -> list[str]:
    if named := getattr(tokenizer, "lang_code_to_token", None):
        return list(named)
    special = getattr(tokenizer, "extra_special_tokens", None) or ()
    found = (_CODE.match(str(token)) for token in special)
    return [match.group(1) for match in found if match]


def _prefix(config: Any, source: str | None, target: str | None) -> str:
    """What T5 reads before a text: as its configuration says for this pair, or as it was trained."""
    if not (source and target):
        return str(getattr(config, "prefix", None) or "")
    said = (getattr(config, "task_specific_params", None) or {}).get(f"translation_{source}_to_{target}", {})
    names = [_NAMES.get(word, word) for word in (source, target)]
    return str(said.get("prefix") or f"translate {names[0]} to {names[1]}: ")
