"""An encoder as a graph of ONNX Runtime, in the place of its torch model.

The tasks do not know the difference: same names in, torch tensors on both sides, and out comes the one tensor that a
task reads of the model's output. The graph is exported once from the loaded torch model and kept in the cache by
commit; it is used only after it has given the same numbers as the torch model on real sentences of several lengths,
padded and not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from contract.logs import get_logger
from worker.backends import graph_attention
from worker.backends.proof import Batch, difference, is_within

log = get_logger(__name__)

#: Largest difference of a logit or a hidden state between the graph and the model it was made from; and of a score or
#: a vector that callers see of it.
_TOLERANCE, _TOLERANCE_SHOWN = 1e-4, 1e-5
_OPSET = 17
#: Part of a kept graph's name: raise it when the way it is kept changes.
_LAYOUT = 2
#: Bytes from which a tensor lies in the file of weights.
_APART = 1024

#: What a task reads of a model's output.
Reads = Callable[[Any], torch.Tensor]
#: What callers see of that: scores or vectors.
Shows = Callable[[torch.Tensor, Batch], torch.Tensor]


class NotExportable(Exception):
    """This model cannot run as a graph here; the message says why, for the log."""


class Output(tuple[torch.Tensor, ...]):
    """What the tasks read of a model's output: `[0]`, which is the logits where there are any."""

    @property
    def logits(self) -> torch.Tensor:
        return self[0]


class OnnxModel:
    """A graph that is called like the model it was exported from.

    A session's threads are fixed when it is made, so there is one for each number of threads that callers have: all
    of the slot's, and a deck's share of them. They share the weights, and so does every process that loads them: they
    are mapped from a file. What a session packs of them for its own arithmetic is its own, and seen as growth.
    """

    device = torch.device("cpu")

    def __init__(self, file: Path, config: Any, *, dtype: str) -> None:
        self.config = config
        self.dtype = dtype
        self._file = file
        self._lock = threading.Lock()
        self._sessions: dict[int, Any] = {}
        #: Names of the tensors it takes.
        self.takes = {entry.name for entry in self._session().get_inputs()}

    def __call__(self, **tensors: torch.Tensor) -> Output:
        feed = {name: tensors[name].numpy() for name in self.takes}
        return Output(torch.from_numpy(found) for found in self._session().run(None, feed))

    @property
    def nbytes(self) -> int:
        return sum(file.stat().st_size for file in (self._file, _weights_of(self._file)) if file.exists())

    def _session(self) -> Any:
        """For as many threads as torch gives to whoever calls (worker.backends.device.use_threads)."""
        threads = torch.get_num_threads()
        with self._lock:
            if threads not in self._sessions:
                self._sessions[threads] = _new_session(self._file, threads)
        return self._sessions[threads]


def _new_session(file: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin for their next piece of work take the cores from whoever has it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Plans memory for one shape at a time, and every microbatch has another.
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def offered() -> bool:
    """Whether ONNX Runtime is installed; what does not import is not asked again."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError:
        return False
    return True


@dataclasses.dataclass(frozen=True)
class Wish:
    """Which graph of a model."""

    task: str
    commit: str
    quantize: str
    cache: Path


def as_graph(model: Any, batches: Sequence[Batch], wish: Wish, reads: Reads, shows: Shows) -> OnnxModel:
    """The proven graph of a torch model; raises NotExportable.

    `batches` are tokenized sentences as the model takes them: the first is what the export traces, all of them
    prove it.
    """
    file, exact = _proven(model, batches, wish, reads, shows)
    if wish.quantize == "none":
        return exact
    # A cache may come to another processor, whose sums would overflow with weights that were not made for it.
    small = file.with_suffix(".int8.onnx" if has_vnni() else ".narrow.int8.onnx")
    return _session(small, model.config, "int8", lambda: _quantize(file, small))


def _proven(model: Any, batches: Sequence[Batch], wish: Wish, reads: Reads, shows: Shows) -> tuple[Path, OnnxModel]:
    """The graph that gives the model's numbers, and its file: with attention in one operator where that does."""
    names = list(batches[0])

    def made(file: Path, way: contextlib.AbstractContextManager[None]) -> tuple[Path, OnnxModel]:
        def export() -> None:
            with way:
                _export(model, batches[0], names, reads, file)

        exact = _session(file, model.config, "float32", export)
        _prove(model, exact, batches, reads, shows)
        return file, exact

    if graph_attention.fits(model):
        try:
            return made(_kept(wish, names, ".fused.onnx"), graph_attention.as_one_operator(model))
        except NotExportable as error:
            log.info("Attention is not one operator in this graph.", model=model.config.model_type, reason=str(error))
    return made(_kept(wish, names, ".onnx"), contextlib.nullcontext())


def _session(file: Path, config: Any, dtype: str, make: Callable[[], None]) -> OnnxModel:
    """The graph of a file that is made if it is missing, or damaged."""
    if file.exists():
        try:
            return OnnxModel(file, config, dtype=dtype)
        except Exception as error:  # noqa: BLE001 - whatever it is, the file is at fault, and made once more
            log.warning("A kept graph does not load.", file=file.name, error=type(error).__name__)
    make()
    try:
        return OnnxModel(file, config, dtype=dtype)
    except Exception as error:
        raise NotExportable(f"ONNX Runtime does not take the graph ({type(error).__name__})") from error


def _kept(wish: Wish, names: list[str], suffix: str) -> Path:
    made_with = f"{wish.task} {wish.commit} {names} {torch.__version__} {transformers.__version__} {_OPSET} {_LAYOUT}"
    folder = wish.cache / "onnx"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotExportable(f"there is no place to keep it ({type(error).__name__})") from error
    return folder / f"{hashlib.sha256(made_with.encode()).hexdigest()[:24]}{suffix}"


class _OneOutput(torch.nn.Module):
    """The model with its tensors by place, as an exporter wants them."""

    def __init__(self, model: Any, names: list[str], reads: Reads) -> None:
        super().__init__()
        self._model = model
        self._names = names
        self._reads = reads

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self._reads(self._model(**dict(zip(self._names, tensors, strict=True)), return_dict=True))


def _export(model: Any, batch: Batch, names: list[str], reads: Reads, file: Path) -> None:
    # eval: the exporter puts a module back into the mode it found it in, and a new one is in training.
    wrapped = _OneOutput(model, names, reads).eval()
    with torch.no_grad():
        output = wrapped(*batch.values())
    axes = {name: {0: "rows", 1: "tokens"} for name in names}
    axes["output"] = {0: "rows", 1: "tokens"} if output.ndim == 3 else {0: "rows"}
    try:
        with _made_beside(file) as mine, warnings.catch_warnings(), torch.no_grad():
            # The tracing exporter takes a tenth of the other's time, and its graphs run faster; both are proven.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                wrapped, tuple(batch.values()), str(mine), input_names=names, output_names=["output"],
                dynamic_axes=axes, opset_version=_OPSET, custom_opsets=graph_attention.OPERATORS, dynamo=False,
            )  # fmt: skip
    except Exception as error:
        raise NotExportable(f"its export failed ({type(error).__name__})") from error


@contextlib.contextmanager
def _made_beside(file: Path) -> Iterator[Path]:
    """Where to write a graph that then takes its place at `file`, its weights in a file of their own first.

    Weights inside a graph are copied into every session; from a file of their own they are mapped.
    """
    import onnx

    with tempfile.TemporaryDirectory(prefix=".making-", dir=file.parent) as folder:
        mine, apart = Path(folder) / "made.onnx", Path(folder) / file.name
        yield mine
        weights = _weights_of(file)
        onnx.save_model(
            onnx.load(mine), apart, save_as_external_data=True, all_tensors_to_one_file=True,
            location=weights.name, size_threshold=_APART,
        )  # fmt: skip
        if (made := Path(folder) / weights.name).exists():
            made.replace(weights)
        apart.replace(file)


def _weights_of(file: Path) -> Path:
    return file.with_suffix(".weights")


def _prove(model: Any, graph: OnnxModel, batches: Sequence[Batch], reads: Reads, shows: Shows) -> None:
    for batch in batches:
        with torch.inference_mode():
            expected = reads(model(**batch)).float()
        try:
            found = graph(**batch)[0].float()
        except Exception as error:
            raise NotExportable(f"its graph fails on other lengths ({type(error).__name__})") from error
        if found.shape != expected.shape:
            raise NotExportable("its graph gives another shape on other lengths")
        off = difference(found, expected, batch)
        if not is_within(off, expected, _TOLERANCE):
            raise NotExportable(f"its graph differs by {float(off.max()):.1e}")
        shown = shows(expected, batch)
        off = difference(shows(found, batch), shown, batch)
        if not is_within(off, shown, _TOLERANCE_SHOWN):
            raise NotExportable(f"its graph's results differ by {float(off.max()):.1e}")


def _quantize(exact: Path, file: Path) -> None:
    """int8 weights by channel; activations are quantized as they come.

    `reduce_range` because processors without VNNI add products of two bytes in 16 bits, which overflow.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    try:
        with _made_beside(file) as mine:
            quantize_dynamic(
                exact, mine, weight_type=QuantType.QInt8, per_channel=True, reduce_range=not has_vnni(),
                op_types_to_quantize=["MatMul", "Gemm"],
            )  # fmt: skip
    except Exception as error:
        raise NotExportable(f"its weights cannot be quantized ({type(error).__name__})") from error


def has_vnni() -> bool:
    """Whether this processor adds products of bytes in 32 bits."""
    info = Path("/proc/cpuinfo")
    return info.exists() and "vnni" in info.read_text()
