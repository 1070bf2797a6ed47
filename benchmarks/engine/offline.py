"""The best loop that a person would write by hand for a file of texts, in a process of its own.

Tokenize everything in one call, sort by length, cut at a budget of padded tokens, one forward pass after the other or
two beside each other with a thread each, and put the answers back in order. No queue, no database, nothing is kept.
It takes JSON lines on its standard input and answers with one JSON line each; see `Loop.run`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine.checkpoints import MOST_TOKENS
from benchmarks.harness import ROOT

Forward = Callable[[dict[str, Any]], Any]


class Offline:
    """The other end: a child process that runs the loop when it is told to. `graph` only for ONNX."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, **how: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(how), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the offline loop died; see its messages above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def offline(kind: str, checkpoint: Path, texts: Path, *, graph: Path | None = None) -> Iterator[Offline]:
    """`kind` is `embed` or `classify`; `texts` a JSON list."""
    words = [sys.executable, "-m", "benchmarks.engine.offline", kind, str(checkpoint), str(texts)]
    with subprocess.Popen(
        [*words, *(["--graph", str(graph)] if graph else [])],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        yield Offline(process)
        assert process.stdin is not None
        process.stdin.close()


class Loop:
    def __init__(self, kind: str, checkpoint: Path, texts: list[str], graph: Path | None) -> None:
        import transformers

        self.kind = kind
        self.texts = texts
        self.checkpoint = checkpoint
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
        auto = transformers.AutoModel if kind == "embed" else transformers.AutoModelForSequenceClassification
        self.model = auto.from_pretrained(checkpoint).eval()
        self.graph = graph

    def run(
        self, *, rows: int, budget: int, threads: int, side_by_side: int, spin: int = 1, keep: str | None = None
    ) -> dict[str, Any]:
        """Seconds for the first `rows` texts, everything from text to ordered answers; `keep` writes them as .npy."""
        forward = self._onnx(threads, spin) if self.graph else self._torch(threads)
        forward(self._padded([[101, 102]]))
        start = time.perf_counter()
        ids = self.tokenizer(self.texts[:rows], truncation=True, max_length=MOST_TOKENS)["input_ids"]
        order = sorted(range(rows), key=lambda index: -len(ids[index]))
        answers: list[Any] = [None] * rows
        batches = iter(list(_cut(order, ids, budget)))
        lock = threading.Lock()

        def work() -> None:
            self._use(threads)
            while True:
                with lock:
                    batch = next(batches, None)
                if batch is None:
                    return
                inputs = self._padded([ids[index] for index in batch])
                for index, answer in zip(batch, forward(inputs), strict=True):
                    answers[index] = answer

        workers = [threading.Thread(target=work) for _ in range(side_by_side)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        whole = np.stack(answers)
        seconds = time.perf_counter() - start
        if keep:
            np.save(keep, whole)
        return {"seconds": seconds, "rows_per_second": rows / seconds}

    def pipeline(self, *, rows: int, batch_size: int) -> dict[str, Any]:
        """What most people write: `pipeline(..., batch_size=32)` over the texts as they come."""
        import torch
        import transformers

        torch.set_num_threads(2)
        task = "feature-extraction" if self.kind == "embed" else "text-classification"
        made = transformers.pipeline(task, model=str(self.checkpoint))
        cut: dict[str, Any] = {"truncation": True, "max_length": MOST_TOKENS}
        options = {"tokenize_kwargs": cut} if self.kind == "embed" else cut
        made(self.texts[:4], batch_size=4, **options)
        start = time.perf_counter()
        made(self.texts[:rows], batch_size=batch_size, **options)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "rows_per_second": rows / seconds}

    def _use(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)

    def _padded(self, rows: Sequence[list[int]]) -> dict[str, Any]:
        longest = max(map(len, rows))
        ids = np.zeros((len(rows), longest), dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            mask[place, : len(row)] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def _torch(self, threads: int) -> Forward:
        import torch

        self._use(threads)

        def forward(inputs: dict[str, Any]) -> Any:
            with torch.inference_mode():
                output = self.model(**{name: torch.from_numpy(values) for name, values in inputs.items()})
            return self._answers(output[0].numpy(), inputs["attention_mask"])

        return forward

    def _onnx(self, threads: int, spin: int) -> Forward:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", str(spin))
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(self.graph), options, providers=["CPUExecutionProvider"])
        takes = {entry.name for entry in session.get_inputs()}

        def forward(inputs: dict[str, Any]) -> Any:
            feed = {**inputs, "token_type_ids": np.zeros_like(inputs["input_ids"])}
            [output] = session.run(None, {name: values for name, values in feed.items() if name in takes})
            return self._answers(output, inputs["attention_mask"])

        return forward

    def _answers(self, output: Any, mask: Any) -> Any:
        if self.kind == "classify":
            powers = np.exp(output - output.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)
        weights = mask[:, :, None].astype(np.float32)
        vectors = (output * weights).sum(axis=1) / weights.sum(axis=1)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _cut(order: Sequence[int], ids: Sequence[list[int]], budget: int) -> Iterator[list[int]]:
    """Longest first; a batch is as long as its first text."""
    batch: list[int] = []
    for index in order:
        if batch and len(ids[batch[0]]) * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("embed", "classify"))
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--graph", type=Path)
    given = parser.parse_args()
    loop = Loop(given.kind, given.checkpoint, json.loads(given.texts.read_text()), given.graph)
    for line in sys.stdin:
        how = json.loads(line)
        answer = loop.pipeline(**how) if "batch_size" in how else loop.run(**how)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
