"""Which token a row writes next: the likeliest, or one drawn with the row's own dice.

Scores are changed as the library's `generate()` changes them, in its order. Each row draws from its own generator,
so that what it writes depends on its seed and never on the rows it shares a microbatch with.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import generation

from worker.backends.backend import Parameters

#: Parameters that are about drawing: one of them asks for it.
SAMPLING = ("temperature", "top_h", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")


@dataclasses.dataclass(frozen=True)
class Choice:
    """How the rows of one microbatch choose."""

    samples: bool
    #: Tokens before which no end token may come.
    least: int
    ends: frozenset[int]
    #: No so many tokens in a row come twice; 0: any may.
    unrepeated: int
    #: Called with tokens (rows, columns) and scores (rows, vocabulary), one after the other.
    changes: tuple[Any, ...]

    def next_tokens(
        self,
        tokens: torch.Tensor,
        mask: torch.Tensor,
        scores: torch.Tensor,
        *,
        written: int,
        dice: Sequence[random.Random],
    ) -> list[int]:
        """One token a row, of finite scores, when `written` tokens are there already; throws each row's dice.

        `mask` is 0 where `tokens` are padding, which is on the left.
        """
        if written < self.least and self.ends:
            scores[:, sorted(self.ends)] = float("-inf")
        if self.unrepeated:
            _forbid_repeats(tokens, mask, scores, self.unrepeated)
        for change in self.changes:
            scores = change(tokens, scores)
        if not self.samples:
            return scores.argmax(-1).tolist()
        return _drawn(scores, [one.random() for one in dice])


def choice(parameters: Parameters, ends: frozenset[int], unwritten: Sequence[Sequence[int]] | None = None) -> Choice:
    """The choice that a caller's parameters ask for; `unwritten` as `never` gives it."""
    penalty = float(parameters.get("repetition_penalty", 1.0))
    changes: list[Any] = [] if penalty == 1.0 else [generation.RepetitionPenaltyLogitsProcessor(penalty)]
    if unwritten:
        changes.append(generation.NoBadWordsLogitsProcessor([list(tokens) for tokens in unwritten]))
    draws = samples(parameters)
    if draws:
        changes += _warpers(parameters)
    least, unrepeated = parameters.get("min_new_tokens", 0), parameters.get("no_repeat_ngram_size", 0)
    return Choice(draws, least, ends, unrepeated, tuple(changes))


def samples(parameters: Parameters) -> bool:
    """Whether tokens are drawn."""
    if parameters.get("temperature") == 0:
        return False
    asked = parameters.get("do_sample")
    return bool(asked) if asked is not None else any(name in parameters for name in SAMPLING)


def never(tokenizer: Any, parameters: Parameters) -> list[list[int]] | None:
    """Tokens that may not follow each other: words not to be written, at the beginning and behind a space."""
    spelled = [text for word in parameters.get("bad_words", ()) for text in (word, f" {word}")]
    found = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in spelled]
    return [list(tokens) for tokens in dict.fromkeys(tuple(tokens) for tokens in found if tokens)] or None


def seed_of(job_id: str) -> int:
    """The seed of a job that names none."""
    return int.from_bytes(hashlib.blake2b(job_id.encode(), digest_size=4).digest())


@contextlib.contextmanager
def dice_of_the_library(parameters: Parameters, job_id: str, device: torch.device) -> Iterator[None]:
    """What the library draws in here follows from the job's seed, and nothing outside from what is drawn."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(parameters.get("seed", seed_of(job_id)))
        yield


def _warpers(parameters: Parameters) -> list[Any]:
    temperature = float(parameters.get("temperature", 1.0))
    top_k = int(parameters.get("top_k", 0))
    min_p = float(parameters.get("min_p", 0.0))
    top_p, typical_p = float(parameters.get("top_p", 1.0)), float(parameters.get("typical_p", 1.0))
    top_h = parameters.get("top_h")
    epsilon, eta = float(parameters.get("epsilon_cutoff", 0.0)), float(parameters.get("eta_cutoff", 0.0))
    return [
        *([generation.TemperatureLogitsWarper(temperature)] if temperature != 1.0 else []),
        *([generation.TopHLogitsWarper(float(top_h))] if top_h else []),
        *([generation.TopKLogitsWarper(top_k)] if top_k else []),
        *([generation.TopPLogitsWarper(top_p)] if top_p < 1.0 else []),
        *([generation.MinPLogitsWarper(min_p)] if min_p else []),
        *([generation.TypicalLogitsWarper(typical_p)] if typical_p < 1.0 else []),
        *([generation.EpsilonLogitsWarper(epsilon)] if epsilon else []),
        *([generation.EtaLogitsWarper(eta)] if eta else []),
    ]


def _forbid_repeats(tokens: torch.Tensor, mask: torch.Tensor, scores: torch.Tensor, size: int) -> None:
    """Takes the tokens that would make `size` of them come a second time; what `mask` says is padding is no text.

    As the library's processor, but for all rows at once, and with no loop over what was written.
    """
    columns = tokens.shape[1]
    if columns < size:
        return
    runs = tokens.unfold(1, size, 1)
    begun = tokens[:, columns - size + 1 :].unsqueeze(1)
    again = (runs[..., :-1] == begun).all(-1) & mask[:, : runs.shape[1]].bool()
    rows, places = again.nonzero(as_tuple=True)
    scores[rows, runs[rows, places, -1]] = float("-inf")


def undrawn(parameters: Parameters) -> Parameters:
    """The same with the likeliest token in the place of one that is drawn."""
    return {name: value for name, value in parameters.items() if name not in SAMPLING} | {"do_sample": False}


def _drawn(scores: torch.Tensor, throws: Sequence[float]) -> list[int]:
    """The token in whose share of the row's probability, (0, 1], its throw falls."""
    shares = scores.double().softmax(-1).cumsum(-1)
    # Of the whole as it was summed, so that rounding never points behind the last token.
    marks = torch.tensor(throws, dtype=torch.float64, device=scores.device).unsqueeze(1) * shares[:, -1:]
    return torch.searchsorted(shares, marks, right=True).squeeze(1).clamp(max=scores.shape[-1] - 1).tolist()
