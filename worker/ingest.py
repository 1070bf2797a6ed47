"""Reads a batch's file into the queue: one slice of time a call, and after a kill exactly where it stopped.

    on_invalid_rows=fail   check every row of the file, then insert them all, or refuse the file
    on_invalid_rows=skip   insert what is good as it is read, list the rest

The file is read in pieces, each committed in one transaction with the cursor behind it (worker.pieces).
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

import sqlalchemy as sa

from contract.errors import ErrorCode
from contract.logs import get_logger
from contract.media import Media
from contract.pipelines import PipelineSpec
from contract.statuses import BATCH_OVER, BatchStatus
from models import batches
from models.batches import Batch
from models.database import note_growth, reading, transaction
from models.files import FileStorage
from models.hub.dataset import Dataset
from models.hub.stream import DatasetAway
from models.pipelines import find_pipeline
from models.porter import Porter
from models.sheets import formats
from models.sheets.layout import MAX_UNPACKED, FileError, Layout, Place, Record
from models.sheets.mapping import Mapping, resolve
from models.sheets.preview import file_error
from models.sheets.rows import Row, Rows
from worker.pieces import commit, in_first_pass
from worker.taps import Tap, Taps

#: A piece is committed at this many bytes of file, however few rows they are.
PIECE_BYTES = 8_000_000
#: Rows of a piece whose files must be brought, some from other servers.
FILES_AT_ONCE = 64
#: Bytes of an archive's files that are read for one piece.
MEMBERS_BYTES = 128_000_000
#: Rows of a slice that change how a table is best read.
MANY_ROWS = 10_000
_ANY_MEDIA = Media()
Verdict = Literal["again", "done"]
T = TypeVar("T")
log = get_logger(__name__)


@dataclasses.dataclass(frozen=True)
class _Tools:
    """What reading a file works with."""

    engine: sa.Engine
    path: Path
    rows_per_piece: int
    now_fn: Callable[[], datetime]
    wake: Callable[[str], object]
    max_unpacked_bytes: int
    taps: Taps | None
    storage: FileStorage
    media: Media


def ingest_slice(
    engine: sa.Engine,
    storage: FileStorage,
    batch_id: str,
    *,
    seconds: float,
    rows_per_piece: int,
    now_fn: Callable[[], datetime],
    wake: Callable[[str], object],
    max_unpacked_bytes: int = MAX_UNPACKED,
    taps: Taps | None = None,
    media: Media = _ANY_MEDIA,
) -> Verdict:
    """Read on for `seconds`; "again" when the file has more, or may have."""
    with reading(engine) as conn:
        batch = batches.find_batch(conn, batch_id)
        stored = find_pipeline(conn, batch.pipeline) if batch else None
    if batch is None or batch.ingested or batch.status in BATCH_OVER or batch.status is BatchStatus.CANCELING:
        return "done"
    path = storage.path(batch.file_id)
    tools = _Tools(engine, path, rows_per_piece, now_fn, wake, max_unpacked_bytes, taps, storage, media)
    work = _Ingest(tools, batch)
    try:
        if stored is None:
            raise FileError(ErrorCode.UNKNOWN_PIPELINE, f"The pipeline '{batch.pipeline}' is no longer offered.")
        if refusal := stored.spec.refusal(batch.task):
            raise FileError(ErrorCode.PIPELINE_CHANGED, refusal)
        return work.run(stored.spec, until=time.monotonic() + seconds)
    except FileError as error:
        work.give_up(error)
    except DatasetAway as error:
        # Upkeep asks again for as long as it takes.
        log.warning("A dataset cannot be read now.", action="dataset_away", batch=batch_id, reason=str(error))
    except MemoryError:
        # It would take the whole Celery node down, and then the next one that gets the message.
        work.give_up(FileError(ErrorCode.UNREADABLE_FILE, "The file needs more memory than there is to be read."))
    return "done"


class _Ingest:
    """One reader's hold on a batch. It knows the batch as its own last commit left it, never as a rival's did:

    a cursor read afresh could stand behind rows that this reader's open file would then give a second time.
    """

    def __init__(self, tools: _Tools, batch: Batch) -> None:
        self._tools = tools
        self._batch = batch
        self._bringing: Porter | None = None

    def run(self, spec: PipelineSpec, *, until: float) -> Verdict:
        layout = self._layout(spec)
        if layout is None:
            return "done"
        mapping = _reading(lambda: resolve(spec, layout, self._batch.mapping, self._batch.id_column))
        rows = Rows(spec, layout, mapping, self._batch.parameters)
        before = self._batch.cursor
        tap = self._tap(spec, layout)
        try:
            with self._porter(spec):
                for piece, ended, broken in self._pieces(layout, rows, tap):
                    if self._stop_when_late() or not self._take(self._brought(piece), mapping, ended=ended, tap=tap):
                        return "done"
                    if broken is not None:
                        raise broken
                    if time.monotonic() >= until:
                        tap = self._put_back(tap, ended=ended)
                        break
        finally:
            if tap is not None:
                tap.stream.close()
        if self._batch.cursor.phase == "insert" and self._batch.cursor.row - before.row >= MANY_ROWS:
            note_growth(self._tools.engine, "jobs", "job_data")
        return "done" if self._batch.ingested else "again"

    def _layout(self, spec: PipelineSpec) -> Layout | None:
        """How the file is laid out: found once, and kept so that every reader agrees. None: a rival was first."""
        batch, path = self._batch, self._tools.path
        if batch.layout is not None:
            return self._known(Layout.from_dict(batch.layout))
        main_field, limit = spec.catalogue.main_field, self._tools.max_unpacked_bytes
        files = self._tools.media.max_archive_files if spec.catalogue.media else None

        def look() -> Layout:
            name, said = batch.filename, batch.format
            found = formats.sniff(path, main_field=main_field, filename=name, said=said, limit=limit, files=files)
            return formats.settled(path, found)

        layout = _reading(look)
        changes = {"layout": layout.as_dict(), "format": layout.format}
        if not transaction(self._tools.engine, lambda conn: batches.advance(conn, batch, batch.cursor, **changes)):
            return None
        self._batch = dataclasses.replace(
            batch, cursor_version=batch.cursor_version + 1, layout=layout.as_dict(), format=layout.format
        )
        return layout

    def _known(self, layout: Layout) -> Layout:
        """What a caller said of a packed file was kept before it was unpacked."""
        settled = _reading(lambda: formats.settled(self._tools.path, layout))
        if settled is not layout:
            self._batch = dataclasses.replace(self._batch, layout=settled.as_dict())
        return settled

    def _tap(self, spec: PipelineSpec, layout: Layout) -> Tap | None:
        """Where the rows of a dataset come from in the first pass; later they stand in the file."""
        if layout.dataset is None or not in_first_pass(self._batch):
            return None
        if self._tools.taps is None:
            raise DatasetAway("This process reads no datasets.")
        limit, files = self._tools.max_unpacked_bytes, spec.catalogue.media.values()
        dataset = Dataset(**layout.dataset)
        return self._tools.taps.open(self._batch, dataset, self._tools.path, limit=limit, files=files)

    def _put_back(self, tap: Tap | None, *, ended: bool) -> Tap | None:
        """Keep what goes on in the next slice; what is left to close."""
        if tap is None or ended or self._tools.taps is None:
            return tap
        self._tools.taps.keep(tap, version=self._batch.cursor_version)
        return None

    @contextlib.contextmanager
    def _porter(self, spec: PipelineSpec) -> Iterator[None]:
        """While it lasts, files that rows name are brought."""
        if not spec.catalogue.media:
            yield
            return
        tools = self._tools
        self._bringing = Porter(tools.engine, tools.storage, tools.media, spec, batch_id=self._batch.id)
        try:
            yield
        finally:
            self._bringing.close()

    def _brought(self, piece: list[Row]) -> list[Row]:
        porter, is_check = self._bringing, self._batch.cursor.phase == "check"
        return piece if porter is None else _reading(lambda: porter.bring_all(piece, "check" if is_check else "keep"))

    def _pieces(
        self, layout: Layout, rows: Rows, tap: Tap | None
    ) -> Iterator[tuple[list[Row], bool, FileError | None]]:
        """Rows in pieces, whether the piece is the last of this pass (it may be empty), and where the file breaks
        behind rows of it that run: why.
        """
        path, cursor = self._tools.path, self._batch.cursor
        place = Place(cursor.offset, cursor.line, cursor.row)
        records = tap.records if tap else _reading(lambda: formats.records(path, layout, place))
        while True:
            piece: list[Row] = []
            broken = self._fill(piece, records, rows)
            # Of a file none of whose rows runs nothing will; of any other all rows before the break are good.
            if broken is not None and (self._batch.status is BatchStatus.VALIDATING or not piece):
                raise broken
            ended = broken is None and not self._is_full(piece)
            yield piece, ended, broken
            if ended:
                return

    def _fill(self, piece: list[Row], records: Iterator[Record], rows: Rows) -> FileError | None:
        """Add rows to a piece; why there are no more of them where the file breaks."""

        def read() -> None:
            for record in records:
                piece.append(rows.row(record))
                if self._is_full(piece):
                    break

        try:
            _reading(read)
        except FileError as error:
            return error
        return None

    def _is_full(self, piece: list[Row]) -> bool:
        most, bringing = self._tools.rows_per_piece, self._bringing is not None
        if bringing and (len(piece) >= FILES_AT_ONCE or _bytes_of_members(piece) >= MEMBERS_BYTES):
            return True
        return len(piece) >= most or _bytes_of(piece) >= PIECE_BYTES

    def _stop_when_late(self) -> bool:
        """Rows must not come in behind the back of the sweep that expires them."""
        batch, now = self._batch, self._tools.now_fn()
        if batch.expires_at is None or batch.expires_at > now:
            return False
        transaction(self._tools.engine, lambda conn: batches.expire_batches(conn, now=now))
        return True

    def _take(self, piece: list[Row], mapping: Mapping, *, ended: bool, tap: Tap | None) -> bool:
        """Commit one piece; False when somebody else moved the batch on, or ended it."""
        before, now, engine = self._batch, self._tools.now_fn(), self._tools.engine
        mark = tap.stream.mark if tap else None
        after = transaction(
            engine, lambda conn: commit(conn, before, piece, mapping, ended=ended, now=now, mark=mark)
        )
        if after is None:
            return False
        self._batch = after
        if before.cursor.phase == "insert" and piece:
            self._tools.wake(before.pipeline)
        if after.ingested:
            # The ovens may have been faster than the reading.
            transaction(engine, lambda conn: batches.close_if_over(conn, after.id, now=now))
        return True

    def give_up(self, error: FileError) -> None:
        """Nothing of the file runs; or, when rows of it run already, nothing more of it."""
        entry, batch, now = file_error(error), self._batch, self._tools.now_fn()

        def work(conn: sa.Connection) -> None:
            found = batches.find_batch(conn, batch.id)
            if found is None or found.cursor_version != batch.cursor_version:
                return
            if not batches.refuse_batch(conn, batch.id, [entry], now=now):
                batches.stop_reading(conn, found, errors=[entry])
                batches.close_if_over(conn, batch.id, now=now)

        transaction(self._tools.engine, work)
        log.warning("A file was given up.", action="file_refused", batch=batch.id, code=error.code.value)


def _reading(read: Callable[[], T]) -> T:
    """Run what only reads the file. Whatever it stumbles over is the file's fault, once, and not a loop."""
    try:
        return read()
    except (FileError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise FileError(ErrorCode.UNREADABLE_FILE, "The stored file is gone.") from error
    except OSError:
        # The disk or the network share: the same message tries again.
        raise
    except Exception as error:
        log.exception("A file could not be read in a way nobody thought of.", action="unreadable_file")
        raise FileError(ErrorCode.UNREADABLE_FILE, "The file cannot be read. Tell the operator.") from error


def _bytes_of(piece: list[Row]) -> int:
    return piece[-1].record.end - piece[0].record.end if piece else 0


def _bytes_of_members(piece: list[Row]) -> int:
    return sum(member.size for row in piece for member in row.record.members)
