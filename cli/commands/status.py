"""`fournil status` and `fournil cancel`: an id is a job's or a batch's, and the server knows which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli import options
from cli.exits import EXIT_CODES, NotFound
from contract.jsons import dumps

if TYPE_CHECKING:
    from cli.api import Api


@click.command(epilog=EXIT_CODES)
@click.argument("id")
@options.as_json
@options.url
def status(*, id: str, as_json: bool, url: str) -> None:
    """Show the job or the batch with this ID."""
    from cli.api import Api

    _show(_find(Api(url), id), as_json=as_json)


@click.command(epilog=EXIT_CODES)
@click.argument("id")
@options.as_json
@options.url
def cancel(*, id: str, as_json: bool, url: str) -> None:
    """Cancel the job or the batch with this ID. What has finished stays finished."""
    from cli.api import Api

    api = Api(url)
    found = _find(api, id)
    _show(api.post(f"/{_collection(found)}/{found['id']}/cancel"), as_json=as_json)


def _find(api: Api, id: str) -> dict[str, Any]:
    from urllib.parse import quote

    name = quote(id, safe="")
    for path in (f"/jobs/{name}", f"/batches/{name}"):
        try:
            return api.get(path)
        except NotFound:
            continue
    raise NotFound(f"No job and no batch has the id {id}.")


def _collection(found: dict[str, Any]) -> str:
    return "batches" if found["object"] == "batch" else "jobs"


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(dumps(found))
        return
    from cli import show

    draw = show.batch if found["object"] == "batch" else show.job
    draw(found)
