"""`fournil demo`: the main job on real input, start to end: a stack, a file of reviews, one job, the results."""

from __future__ import annotations

import csv
import os
import shlex
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.downloading import fetch
from cli.handing_in import upload
from cli.watching import watch_to_the_end
from contract.statuses import JOB_OVER, BatchStatus, JobStatus, PipelineState

if TYPE_CHECKING:
    from rich.console import Console

    from cli.api import Api

_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
_TEXT = "The crust was crisp, the crumb was soft, and it was still warm when I got home."
_SHOWN = 10


@click.command()
@click.option("--data-dir", type=click.Path(file_okay=False), default="demo-data", show_default=True)
def demo(data_dir: str) -> None:
    """Start a stack on a free port, bake a file of product reviews and one job, show the results, stop.

    The data stays in DATA_DIR: `fournil up --data-dir DATA_DIR` shows it in a browser.
    """
    from rich.console import Console

    pipelines, reviews = _EXAMPLES / "pipelines.toml", _EXAMPLES / "reviews.csv"
    if not (pipelines.is_file() and reviews.is_file()):
        raise click.ClickException("The examples are not here; run the demo from a clone of the repository.")
    console = Console(highlight=False)
    begun = time.monotonic()
    _run(console, Path(data_dir), pipelines, reviews, dict(os.environ))
    console.print(f"\nThe whole demo took {time.monotonic() - begun:.1f} s, starting and stopping included.")


def _run(console: Console, data_dir: Path, pipelines: Path, reviews: Path, env: Mapping[str, str]) -> None:
    from cli.api import Api
    from cli.stack.detached import running_stack

    begun = time.monotonic()
    with console.status("Starting web server, broker and ovens, and warming the model ...") as status:
        console.print("1. [bold]fournil up[/bold] on a free port")
        with running_stack(data_dir, pipelines=pipelines, env=env) as url:
            console.print(f"   ready at {url} after {time.monotonic() - begun:.1f} s")
            status.stop()
            api = Api(url)
            _refuse_idle(api.get("/pipelines/sentiment"))
            batch = _bake(console, api, reviews, data_dir / "reviews-results.csv")
            _one_job(console, api)
            _show(console, data_dir / "reviews-results.csv")
            status.update("Stopping ...")
            status.start()
    _say_what_next(console, data_dir, batch)


def _refuse_idle(pipeline: dict[str, Any]) -> None:
    if pipeline["state"] != PipelineState.ACTIVE:
        raise click.ClickException(f"The pipeline sentiment is {pipeline['state']}: {pipeline['reason']}")


def _bake(console: Console, api: Api, reviews: Path, out: Path) -> dict[str, Any]:
    """The file through `sentiment`, with a progress bar; its results beside the data."""
    console.print(f"\n2. [bold]fournil batch sentiment {reviews.name} --input text=review --watch[/bold]")
    request = {"pipeline": "sentiment", "inputs": {"text": "review"}, "id_column": "id"}
    batch = watch_to_the_end(api, upload(api, reviews, request))
    if batch["status"] != BatchStatus.COMPLETED:
        raise click.ClickException(f"The batch is {batch['status']}: {batch['errors'][:3]}")
    fetch(api, batch, str(out))
    done, seconds = batch["counts"]["succeeded"], _seconds(batch)
    console.print(f"   {done} reviews in {seconds:.1f} s from upload to the last row: {done / seconds:.0f} rows/s")
    return batch


def _seconds(batch: Mapping[str, Any]) -> float:
    begun, ended = (datetime.fromisoformat(batch[name]) for name in ("created_at", "finished_at"))
    return max(0.001, (ended - begun).total_seconds())


def _one_job(console: Console, api: Api) -> None:
    """Submitted, then polled as any program would, each status shown as it comes."""
    console.print("\n3. [bold]fournil submit sentiment TEXT[/bold], then polling its id")
    console.print(f"   “{_TEXT}”", style="italic")
    begun = time.monotonic()
    job = api.post("/jobs", {"pipeline": "sentiment", "inputs": {"text": _TEXT}})
    seen = [job["status"]]
    while job["status"] not in JOB_OVER:
        job = api.wait_until_over(job, JOB_OVER, end=time.monotonic() + 0.1)
        if job["status"] != seen[-1]:
            seen.append(job["status"])
    console.print(f"   {' → '.join(seen)} after {(time.monotonic() - begun) * 1000:.0f} ms")
    if job["status"] != JobStatus.SUCCEEDED:
        raise click.ClickException(f"The job is {job['status']}: {job['error']}")
    best, inference = job["result"][0], job["timings"]["inference"] or 0
    console.print(
        f"   [bold]{best['label']}[/bold] {best['score']:.3f}, {inference * 1000:.1f} ms of it in the model"
    )


def _show(console: Console, results: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from cli.show import shortened

    with results.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    table = Table("product", "stars", "review", "label", "score", title="\nReviews and what the model says of them")
    for row in rows[:: max(1, len(rows) // _SHOWN)][:_SHOWN]:
        style = {True: "green", False: "red", None: ""}[agrees(row)]
        label = Text(row["label"], style=style)
        table.add_row(row["product"], "★" * int(row["stars"]), shortened(row["review"], 60), label, row["score"][:5])
    console.print(table)
    judged = [agreed for row in rows if (agreed := agrees(row)) is not None]
    console.print(f"Labels agree with the stars in {sum(judged)} of {len(judged)} reviews ", end="")
    console.print(f"({sum(judged) / len(judged):.0%}; {len(rows) - len(judged)} with three stars left out).")


def agrees(row: Mapping[str, str]) -> bool | None:
    """Whether label and stars say the same; None for three stars, which say neither."""
    stars = int(row["stars"])
    return None if stars == 3 else row["label"].lower().startswith("pos") == (stars > 3)


def _say_what_next(console: Console, data_dir: Path, batch: dict[str, Any]) -> None:
    pipelines = os.path.relpath(_EXAMPLES / "pipelines.toml")
    command = shlex.join([_command(), "up", "--data-dir", str(data_dir), "--pipelines", pipelines])
    console.print(f"\nEverything is stopped, and kept in {data_dir}. To see it in a browser:")
    console.print(f"   {command}", soft_wrap=True, style="bold")
    console.print(f"   http://127.0.0.1:8000/batches/{batch['id']}", soft_wrap=True)


def _command() -> str:
    """`fournil` as it was typed: it may not be on the PATH."""
    typed = sys.argv[0]
    return typed if Path(typed).name == "fournil" else "fournil"
