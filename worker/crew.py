"""What one process of a node works with, put together from the settings in one place."""

from __future__ import annotations

import dataclasses
from typing import Any

import sqlalchemy as sa
from celery import Celery

from contract.cores import at_once
from contract.names import Keys
from contract.settings import Settings
from contract.times import utc_now
from models.database import make_engine, reading, transaction
from models.files import FileStorage
from models.hub.dataset import Reach
from models.jobs import recent_inputs
from models.pipelines import find_pipeline, list_pipelines
from models.workers import Worker, put_worker, set_worker
from worker import upkeep
from worker.budgets import Budgets
from worker.cellar import Cellar, CellarKeeper
from worker.doorbell import Doorbell
from worker.hand import Hand
from worker.ingest import ingest_slice
from worker.measures import Measures
from worker.memory import device_name, room
from worker.oven import Oven
from worker.pantry import Pantry
from worker.postman import Postman
from worker.shelf import Place, Shelf
from worker.signals import Signals, connect
from worker.taps import Taps
from worker.warden import Warden

_MOST_DECKS = 8


@dataclasses.dataclass(frozen=True)
class Crew:
    """A child process: an oven where it has a device slot, and hands for upkeep where it has none."""

    settings: Settings
    engine: sa.Engine
    signals: Signals
    storage: FileStorage
    oven: Oven | None
    doorbell: Doorbell | None
    taps: Taps | None = None
    keeper: CellarKeeper | None = None
    postman: Postman | None = None

    def serve(self, pipeline: str) -> None:
        """Bake what waits for a pipeline, then for whichever pipeline somebody knocks."""
        if self.oven is None or self.doorbell is None:
            raise RuntimeError("infer came to a node without a device slot")
        self.oven.serve(pipeline)
        for called in self.doorbell.rings():
            self.oven.serve(called)

    def ingest(self, batch_id: str) -> None:
        """Read on in a file for one slice; the next slice is a message, so that other files get their turn."""
        self.signals.is_reading(batch_id)
        upkeep_settings = self.settings.upkeep
        outcome = ingest_slice(
            self.engine,
            self.storage,
            batch_id,
            seconds=upkeep_settings.ingest_slice_seconds,
            max_unpacked_bytes=self.settings.storage.max_unpacked_bytes,
            media=self.settings.media,
            rows_per_piece=upkeep_settings.ingest_rows,
            now_fn=utc_now,
            wake=self.signals.wake,
            taps=self.taps,
        )
        self.signals.changed([batch_id])
        if outcome == "again":
            self.signals.read(batch_id)
        else:
            # A file that is of no use, or whose rows were over before it was read.
            self.deliver([batch_id])

    def sweep(self) -> None:
        upkeep.sweep(
            self.engine,
            self.signals,
            self.storage,
            max_attempts=self.settings.inference.max_attempts,
            keep_days=self.settings.upkeep.keep_days,
        )
        if self.keeper is not None:
            self.keeper.look()
        if self.postman is not None:
            self.postman.look()

    def deliver(self, ids: list[str]) -> None:
        if self.postman is not None:
            self.postman.bring(ids)

    def stop(self) -> None:
        if self.postman is not None:
            self.postman.stop()

    def tidy(self) -> None:
        upkeep.tidy(self.engine, self.storage, upload_seconds=self.settings.storage.upload_seconds)

    def cancel_batch(self, batch_id: str) -> None:
        upkeep.cancel_rows(self.engine, self.signals, batch_id)
        self.deliver([batch_id])


def child_crew(app: Celery, settings: Settings, *, host: str) -> Crew:
    """Connect this child, and warm its pipelines when it has a device slot."""
    engine = make_engine(settings.storage.url)
    signals = _signals(app, settings)
    storage = FileStorage(settings.storage.files_dir)
    taps, keeper = Taps(Reach.of(settings)), CellarKeeper(engine, settings.cache)
    if not settings.slot.name:
        postman = Postman(engine, settings.webhooks, lambda one, after: signals.deliver([one], after=after))
        crew = Crew(
            settings, engine, signals, storage, oven=None, doorbell=None, taps=taps, keeper=keeper, postman=postman
        )
        crew.tidy()
        return crew
    oven = _oven(settings, engine, signals, host)
    doorbell = _doorbell(settings, engine, signals, host, oven)
    return Crew(settings, engine, signals, storage, oven, doorbell, taps, keeper)


def _doorbell(settings: Settings, engine: sa.Engine, signals: Signals, host: str, oven: Oven) -> Doorbell:
    with reading(engine) as conn:
        names = [stored.spec.name for stored in list_pipelines(conn)]
    slot = f"{host}/{settings.slot.name}"
    return Doorbell(signals, _hand(settings, host), slot=slot, pipelines=names, quiet=oven.rest)


def _oven(settings: Settings, engine: sa.Engine, signals: Signals, host: str) -> Oven:
    slot, inference = settings.slot, settings.inference
    name = f"{host}/{slot.name}"
    place = Place(
        device=slot.device,
        threads=slot.threads,
        cache=settings.storage.checkpoints_dir,
        room=room(setting=inference.memory_bytes, device=slot.device, threads=slot.threads),
    )

    def changed(warm: dict[str, int]) -> None:
        transaction(engine, lambda conn: set_worker(conn, name, warm=warm))

    pantry = Pantry(FileStorage(settings.storage.files_dir), settings.media)

    def recent(pipeline: str, count: int) -> list[Any]:
        with reading(engine) as conn:
            stored = find_pipeline(conn, pipeline)
            if stored is None:
                return []
            inputs = recent_inputs(conn, pipeline, stored.spec.task, limit=count)
        unpack = pantry.unpacking(stored.spec)
        return inputs if unpack is None else [unpack(one) for one in inputs]

    oven = Oven(
        name=name,
        engine=engine,
        shelf=Shelf(place, changed, recent, measures=_measures(settings)),
        budgets=_budgets(settings),
        hand=_hand(settings, host),
        signals=signals,
        settings=inference,
        decks=_decks(slot.device, slot.threads),
        pantry=pantry,
        cellar=Cellar(engine, pantry.naming) if settings.cache.bytes else None,
    )
    oven.warm_up()
    transaction(engine, lambda conn: set_worker(conn, name, state="ready", memory_bytes=place.room))
    return oven


def _decks(device: str, threads: int) -> int:
    """Forward passes that may run side by side: a thread for each, and not so many that rows are too few."""
    return min(_MOST_DECKS, threads or at_once()) if device.startswith("cpu") else 1


def _budgets(settings: Settings) -> Budgets:
    slot = settings.slot
    decks = _decks(slot.device, slot.threads)
    place = f"{device_name(slot.device)} {slot.device.split(':')[0]} {slot.threads or 'all'} {decks}"
    folder, fixed = settings.storage.data_dir / "budgets", settings.inference.token_budget
    return Budgets(folder, place=place, fixed=fixed, decks=decks)


def _measures(settings: Settings) -> Measures:
    slot = settings.slot
    # Threads change how long a load takes, and how many sessions hold what they pack.
    place = f"{device_name(slot.device)} {slot.device.split(':')[0]} {slot.threads or 'all'}"
    return Measures(settings.storage.data_dir / "measures", place=place)


def main_warden(app: Celery, settings: Settings, *, host: str, pid: int) -> Warden:
    """The warden of this slot's main process, with the slot's row in the workers table."""
    engine = make_engine(settings.storage.url)
    name = f"{host}/{settings.slot.name}"
    now = utc_now()
    row = Worker(
        name=name, host=host, device=settings.slot.device, pid=pid, state="starting", warm={}, baking=None,
        memory_bytes=None, started_at=now, heartbeat_at=now,
    )  # fmt: skip
    transaction(engine, lambda conn: put_worker(conn, row))
    return Warden(
        name=name,
        engine=engine,
        hand=_hand(settings, host),
        signals=_signals(app, settings),
        settings=settings.inference,
        beat_seconds=min(5.0, settings.inference.lease_seconds / 3),
    )


def _hand(settings: Settings, host: str) -> Hand:
    # Hosts may share a data directory, and every host has a slot cpu0.
    return Hand(settings.storage.data_dir / "run" / host, settings.slot.name)


def _signals(app: Celery, settings: Settings) -> Signals:
    return Signals(app, connect(settings.broker.url), Keys(settings.broker.prefix))
