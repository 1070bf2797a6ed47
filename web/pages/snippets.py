"""The same request as a program would make it: curl and Python, ready to paste."""

from __future__ import annotations

import json
import pprint
import shlex
import textwrap
from typing import Any

_WAIT = 30


def as_curl(url: str, body: dict[str, Any]) -> str:
    text = json.dumps(body, ensure_ascii=False, indent=2)
    return (
        f"curl -s {shlex.quote(url)} \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"  -H 'Prefer: wait={_WAIT}' \\\n"
        f"  -d {shlex.quote(text)}"
    )


def as_python(url: str, body: dict[str, Any]) -> str:
    literal = pprint.pformat(body, sort_dicts=False, width=80)
    indented = textwrap.indent(literal, "    ").lstrip()
    return (
        "import httpx\n\n"
        f"request = {indented}\n"
        "answer = httpx.post(\n"
        f"    {url!r},\n"
        "    json=request,\n"
        f'    headers={{"Prefer": "wait={_WAIT}"}},\n'
        f"    timeout={_WAIT * 2},\n"
        ").raise_for_status()\n"
        "job = answer.json()\n"
        'print(job["status"], job["result"])'
    )
