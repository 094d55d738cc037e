"""Pages of a JSON service. Numbers stay exact; nested objects become columns joined by a dot."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import httpx

from adapters.model import HttpSource
from adapters.sources.pages import Page, odd


class Json:
    """See `adapters.sources.pages.Dialect`. With a `body` the page is asked for by POST, else by query parameters."""

    def request(self, source: HttpSource, mark: str) -> httpx.Request:
        """The request for one page."""
        if source.body is not None:
            text = source.body.replace("{page}", mark).replace("{size}", str(source.page_size))
            headers = {"content-type": "application/json", **source.headers}
            return httpx.Request("POST", source.url, content=text.encode(), headers=headers)
        asked = httpx.URL(source.url).copy_merge_params(
            {
                **({source.page: mark} if mark else {}),
                **({source.size: str(source.page_size)} if source.size else {}),
            }
        )
        return httpx.Request("GET", asked, headers=dict(source.headers))

    def page(self, source: HttpSource, body: bytes) -> Page:
        """What the answer says."""
        try:
            said = json.loads(body, parse_float=Decimal, parse_constant=_no_constant)
        except (ValueError, RecursionError) as fault:
            raise odd("not JSON") from fault
        rows = _at(said, source.rows)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise odd(f"no rows at {source.rows or 'the top'}")
        total = _at(said, source.total) if source.total else None
        if source.total and (isinstance(total, bool) or not str(total).isdigit()):
            raise odd(f"no total at {source.total}")
        following = _at(said, source.following) if source.following else None
        return Page(
            [_flat(row) for row in rows],
            int(str(total)) if total is not None else None,
            str(following) if following not in (None, "", False) else None,
        )


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def _at(said: Any, path: str) -> Any:
    for step in filter(None, path.split(".")):
        if not isinstance(said, Mapping) or step not in said:
            return None
        said = said[step]
    return said


def _flat(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = Decimal(value) if type(value) is int else value
    return found
