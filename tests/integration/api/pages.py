"""Reading pages in tests: the forms and messages of an HTML answer, by the names a browser goes by."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

_VOID = {"meta", "link", "input", "br", "hr", "img", "path", "rect", "circle"}


@dataclasses.dataclass
class Element:
    tag: str
    attrs: dict[str, str]
    text: str = ""


class Page(HTMLParser):
    """Every element with its own and its descendants' text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str, **attrs: str) -> list[Element]:
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attrs.items()}
        return [e for e in self.elements if e.tag == tag and wanted.items() <= e.attrs.items()]

    def one(self, tag: str, **attrs: str) -> Element:
        found = self.all(tag, **attrs)
        assert len(found) == 1, f"{len(found)} of <{tag} {attrs}> in\n{self.html}"
        return found[0]

    def has(self, tag: str, **attrs: str) -> bool:
        return bool(self.all(tag, **attrs))

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", self.all("body")[0].text if self.all("body") else self.html)

    def addresses(self) -> list[str]:
        """Whatever a browser would load or send to."""
        return [e.attrs[name] for e in self.elements for name in ("href", "src", "action") if name in e.attrs]


def get(client: FlaskClient, path: str, **more: Any) -> Page:
    answer = client.get(path, headers={"Accept": "text/html"}, **more)
    assert answer.status_code == 200, answer.text
    return Page(answer.text)


def token(client: FlaskClient, path: str) -> str:
    return get(client, path).all("input", name="csrf_token")[0].attrs["value"]


def post(
    client: FlaskClient, path: str, data: dict[str, Any] | None = None, *, form: str | None = None
) -> TestResponse:
    """Post as a browser does that has opened the page `form`."""
    data = {"csrf_token": token(client, form or path), **(data or {})}
    return client.post(path, data=data, headers={"Accept": "text/html"})
