"""What pyarrow reads is read by a process that may take so much and no more, and sends no more than is asked for."""

from __future__ import annotations

import itertools
import resource
import signal

import psutil
import pyarrow as pa
import pytest

from contract.errors import ErrorCode
from models.sheets import arrows, columnar, formats
from models.sheets.layout import FileError
from tests.nasty import GREEDY
from tests.sheets import arrow, parquet

N = 20_000
TEXT = [f"a text of some length, {n}" for n in range(N)]
KINDS = {
    "text": pa.array(TEXT),
    "view": pa.array(TEXT, pa.string_view()),
    "bytes in a view": pa.array([text.encode() for text in TEXT], pa.binary_view()),
    "dictionary": pa.array(TEXT).dictionary_encode(),
    "views in lists": pa.array([[text] for text in TEXT], pa.list_(pa.string_view())),
    "views in objects": pa.array([{"a": text} for text in TEXT], pa.struct([("a", pa.string_view())])),
}


def stored(tmp_path, data):
    path = tmp_path / "stored"
    path.write_bytes(data)
    return path, formats.sniff(path, main_field="text")


def test_a_page_that_asks_for_gigabytes_is_refused_and_takes_nobodys_memory(tmp_path):
    path, layout = stored(tmp_path, GREEDY)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children_before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with pytest.raises(FileError) as refused:
        list(formats.records(path, layout))
    assert refused.value.code is ErrorCode.UNREADABLE_FILE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
    # Nor that of the machine: kilobytes, the most of any process that was waited for, other tests' among them.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(children_before, 1_000_000)


@pytest.mark.parametrize("what", KINDS)
def test_rows_are_sent_without_what_other_rows_hold(what):
    column = KINDS[what]
    sent = columnar._sendable(column.slice(1_000, 64), columnar._sent(column.type))
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, pa.schema([("x", sent.type)])) as stream:
        stream.write_batch(pa.record_batch([sent], names=["x"]))
    assert out.getvalue().size < 20_000
    assert arrows._values(sent) == arrows._values(column.slice(1_000, 64))


def test_long_texts_come_one_by_one_whatever_a_file_says_of_its_size(tmp_path):
    path, layout = stored(tmp_path, parquet([{"text": f"{n}" * 10_000_000} for n in range(3)], use_dictionary=False))
    sizes = [
        batch.nbytes for batch in columnar._in_pieces(pa.table({"text": ["x" * 10_000_000] * 5}).to_batches()[0])
    ]
    assert (len(sizes), max(sizes) < 16_000_000) == (5, True)
    assert [len(record.values[0]) for record in formats.records(path, layout)] == [10_000_000] * 3


@pytest.mark.parametrize("make", [parquet, arrow])
def test_a_reader_that_stops_early_leaves_no_process(make, tmp_path):
    path, layout = stored(tmp_path, make([{"text": text} for text in TEXT]))
    started = formats.records(path, layout)
    assert [record.values for record in itertools.islice(started, 2)] == [[TEXT[0]], [TEXT[1]]]
    assert [child for child in psutil.Process().children() if "columnar.py" in " ".join(child.cmdline())]
    started.close()
    assert not [child for child in psutil.Process().children() if "columnar.py" in " ".join(child.cmdline())]


@pytest.mark.parametrize(("number", "error"), [(signal.SIGKILL, OSError), (signal.SIGABRT, FileError)])
def test_a_process_that_dies_is_no_end_of_the_file(number, error, tmp_path):
    path, layout = stored(tmp_path, parquet([{"text": text * 50} for text in TEXT]))
    started = formats.records(path, layout)
    next(started)
    for child in psutil.Process().children():
        if "columnar.py" in " ".join(child.cmdline()):
            child.send_signal(number)
    # Who was killed by somebody says nothing of the file: whoever reads a batch tries again.
    with pytest.raises(error):
        list(started)
