"""Rows that come in pages over HTTP (JSON or SOAP), staged into key order.

The read is complete when the server's own total agrees with the rows that came, or, where it gives none, when the last
page was short or named no next one. A page that fails is asked for again three times; then the read breaks off.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

from adapters.model import HttpSource
from adapters.source import SourceFault
from adapters.sources.staged import StagedRows
from adapters.sources.staging import Staging

MAX_PAGE = 64 * 1024 * 1024
MAX_PAGES = 1_000_000
TRIES = 4


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: its rows, how many there are in all (None: not told), and the mark of the next page."""

    rows: list[Mapping[str, Any]]
    total: int | None
    following: str | None


class Dialect(Protocol):
    """How one kind of service is asked and read."""

    def request(self, source: HttpSource, mark: str) -> httpx.Request:
        """The request for the page of that mark."""
        ...

    def page(self, source: HttpSource, body: bytes) -> Page:
        """What the answer says. Raises SourceFault `source.answer`."""
        ...


class PagedRows(StagedRows):
    """See `adapters.source.Source`. The first page is fetched at once: its rows tell the columns."""

    def __init__(self, source: HttpSource, key: tuple[str, ...], scratch: Path, dialect: Dialect) -> None:
        super().__init__(key, scratch)
        self._source = source
        self._dialect = dialect
        self._http = httpx.Client(timeout=source.timeout, headers={"user-agent": "yimen-agent"})
        try:
            self._first = self._fetch(self._mark(source.first))
        except BaseException:
            self._http.close()
            raise
        self.columns = tuple(dict.fromkeys(name for row in self._first.rows for name in row))

    def close(self) -> None:
        """Close the connection and remove the scratch file."""
        super().close()
        self._http.close()

    def count(self) -> int | None:
        """The total that the first page told."""
        return self._first.total

    def _fill(self, staging: Staging) -> tuple[int, bool]:
        totals: set[int] = set()
        ended = False
        for page in self._pages():
            for row in page.rows:
                staging.add(self._shaped(dict(row)))
            if page.total is not None:
                totals.add(page.total)
            ended = self._is_last(page, staging.rows)
        if totals:  # a total that moves while we read is no snapshot
            return 0, totals == {staging.rows}
        return 0, ended

    def _pages(self) -> Iterator[Page]:
        page, read = self._first, 0
        for number in range(self._source.first + 1, self._source.first + MAX_PAGES):
            read += len(page.rows)
            yield page
            if self._is_last(page, read):
                return
            mark = page.following if self._source.following else self._mark(number)
            following = self._fetch(mark or "")
            if following.rows and following.rows == page.rows:
                raise odd("the same page again")
            page = following

    def _is_last(self, page: Page, read: int) -> bool:
        if self._source.following is not None:
            return not page.following
        if page.total is not None:
            return read >= page.total or not page.rows
        return len(page.rows) < self._source.page_size

    def _mark(self, number: int) -> str:
        return "" if self._source.following is not None else str(number)

    def _fetch(self, mark: str) -> Page:
        last = "no answer"
        for attempt in range(TRIES):
            if attempt:
                time.sleep(0.2 * 2**attempt)
            try:
                answer = self._http.send(self._dialect.request(self._source, mark))
            except httpx.TransportError as fault:
                last = type(fault).__name__
                continue
            if answer.status_code in (429, 502, 503, 504):
                last = f"HTTP {answer.status_code}"
                continue
            if answer.is_success and len(answer.content) <= MAX_PAGE:
                return self._dialect.page(self._source, answer.content)
            last = f"HTTP {answer.status_code}"
            break
        raise SourceFault(
            "source.http",
            f"接口没有给出这一页（{last}）。",
            f"The service did not give this page ({last}).",
            next_zh="请检查地址、凭据和网络；稍后会自动重试。",
            next_en="Check address, credentials and network; the next pass tries again.",
        )


def odd(reason: str) -> SourceFault:
    """The answer is not what the configuration describes."""
    return SourceFault(
        "source.answer",
        f"接口的回答与配置不符（{reason}）。",
        f"The service's answer is not what the configuration says ({reason}).",
        next_zh="请对照接口文档检查 rows、total、next。",
        next_en="Compare rows:, total: and next: with the service's documentation.",
    )
