"""Canaries: everything that the hub writes while the suite runs is searched for the people that the suite made up.

Watched: what tests leave on stdout and stderr and in the log, log files and pipes of server processes, addresses that
are requested, problem documents and the texts of refusals, leaves of the ledger, and the metrics. Searched for: any
resident id number with a right check character, whoever made it, and the names that `World.person` was given.

A find fails the test in which it was written, and says where. It is cheap: one regular expression over little text.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

ID_NUMBER = re.compile(
    rb"(?<![0-9A-Za-z_-])[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?![0-9A-Za-z_-])"
)
CHINESE = re.compile("[\u3400-\u9fff]")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
OURS = ("hub.cli", "hub", "adapters", "adapters.agent", "adapters.demo")
"""Modules whose processes are watched; what others print (pdftotext, psql) is not ours."""


class Canary:
    """Remembers the names that were made up, searches what it is given, and keeps what it found."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.found: list[str] = []
        self.searched: dict[str, int] = {}
        self._files: list[tuple[str, int]] = []

    def person(self, name: str) -> None:
        """Somebody was made up. One character alone is no name that could be told from a text."""
        if len(name) >= 2 and CHINESE.search(name):
            self.names.add(name)

    def search(self, where: str, text: str | bytes) -> None:
        """Look through one thing that was written."""
        data = text.encode(errors="replace") if isinstance(text, str) else bytes(text)
        self.searched[where] = self.searched.get(where, 0) + 1
        for number in ID_NUMBER.findall(data):
            if _is_resident(number):
                self.found.append(f"{where}: an id number, after {_before(data, number)!r}")
        shown = data.decode(errors="replace")
        if CHINESE.search(shown):
            for name in tuple(self.names):  # a hub in a thread of the tests may search while a person is made up
                if name in shown:
                    self.found.append(f"{where}: a name, after {_before(data, name.encode())!r}")

    def address(self, where: str, address: str | bytes) -> None:
        """The same for an address, percent signs undone."""
        self.search(where, unquote_to_bytes(address))

    def watch_file(self, where: str, descriptor: int) -> None:
        """A process writes to this file; it is read at the end of the test, also if it is gone by then."""
        self._files.append((where, descriptor))

    def take(self) -> list[str]:
        """Read the files, and give what was found since the last call."""
        files, self._files = self._files, []
        for where, descriptor in files:
            with os.fdopen(descriptor, "rb") as file:
                self.search(where, file.read())
        found, self.found = self.found, []
        return list(dict.fromkeys(found))


CANARY = Canary()


def _is_resident(number: bytes) -> bool:
    total = sum(weight * (digit - 48) for weight, digit in zip(_WEIGHTS, number, strict=False))
    return number[17:].upper() == b"10X98765432"[total % 11 : total % 11 + 1]


def _before(data: bytes, needle: bytes) -> str:
    """What stands before a find: enough to look for its source, without the find itself."""
    place = data.index(needle)
    return data[max(0, place - 60) : place].decode(errors="replace")


# ── where things are written ─────────────────────────────────────────────────────────────────────────────────────────


def watch() -> None:
    """Put an ear to every way out. Called once in each test process, before any test module is imported."""
    _refusals()
    _requests()
    _clients()
    _leaves()
    _processes()


def _refusals() -> None:
    from hub.errors import HubError

    made = HubError.__init__

    @wraps(made)
    def init(self: Any, code: str, zh: str, en: str, **other: Any) -> None:
        made(self, code, zh, en, **other)
        CANARY.search(f"refusal {code}", f"{code} {zh} {en} {other or ''}")

    HubError.__init__ = init  # type: ignore[method-assign]


def _a_form(message: Any) -> bool:
    """A form that is shown again to whoever filled it in, on their own page: their name may stand there."""
    return b"<form" in message.get("body", b"")


def _requests() -> None:
    """Addresses that come in, and refusals that go out, of hubs in this process."""
    from hub.web.doors import RequestNumbers

    handle = RequestNumbers.__call__

    @wraps(handle)
    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await handle(self, scope, receive, send)
            return
        status = 0

        async def sent(message: Any) -> None:
            nonlocal status
            where = f"{scope['method']} {getattr(scope.get('route'), 'path', '-')}"
            if message["type"] == "http.response.start":
                status = message["status"]
                CANARY.search(f"headers of {where}", b"\n".join(value for _, value in message.get("headers", ())))
            elif status >= 400 and not (status == 422 and _a_form(message)):
                CANARY.search(f"answer {status} to {where}", message.get("body", b""))
            await send(message)

        await handle(self, scope, receive, sent)
        CANARY.address("address", scope.get("raw_path") or scope["path"].encode())
        CANARY.address("query", scope.get("query_string", b""))

    RequestNumbers.__call__ = call  # type: ignore[method-assign]


def _clients() -> None:
    """Addresses that tests and agents ask for, and problem documents of hubs in other processes."""
    import httpx

    def told(answer: Any) -> None:
        CANARY.address("address asked for", str(answer.request.url))
        if answer.status_code >= 400 and "problem" in answer.headers.get("content-type", ""):
            CANARY.search(f"problem document {answer.status_code}", answer.content)
        elif "version=" in answer.headers.get("content-type", ""):
            CANARY.search("metrics", answer.content)

    send, send_async = httpx.Client.send, httpx.AsyncClient.send

    @wraps(send)
    def sync(self: Any, request: Any, *, stream: bool = False, **other: Any) -> Any:
        answer = send(self, request, stream=stream, **other)
        if not stream:
            told(answer)
        return answer

    @wraps(send_async)
    async def later(self: Any, request: Any, *, stream: bool = False, **other: Any) -> Any:
        answer = await send_async(self, request, stream=stream, **other)
        if not stream:
            told(answer)
        return answer

    httpx.Client.send, httpx.AsyncClient.send = sync, later  # type: ignore[method-assign]


def _leaves() -> None:
    """Every leaf is hashed on its way in, and again when it is given its index."""
    import hub.ledger.append
    import hub.ledger.sequence

    def listening(of: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
        def heard(data: bytes) -> bytes:
            CANARY.search("leaf of the ledger", data)
            return of(data)

        return heard

    for module in (hub.ledger.append, hub.ledger.sequence):
        module.leaf_hash = listening(module.leaf_hash)  # type: ignore[attr-defined]


def _processes() -> None:
    """What our own programs write: to files that tests give them, or to pipes that tests read whole."""
    init, communicate = subprocess.Popen.__init__, subprocess.Popen.communicate

    @wraps(init)
    def started(self: Any, args: Any, *rest: Any, **options: Any) -> None:
        init(self, args, *rest, **options)
        words = [str(word) for word in args] if isinstance(args, list | tuple) else []
        self.is_ours = any(word in OURS for word in words)
        for stream in {options.get("stdout"), options.get("stderr")} if self.is_ours else ():
            if hasattr(stream, "fileno") and Path(f"/proc/self/fd/{stream.fileno()}").exists():
                copy = os.open(f"/proc/self/fd/{stream.fileno()}", os.O_RDONLY)
                CANARY.watch_file(f"log file of {' '.join(words[1:4])}", copy)

    @wraps(communicate)
    def ended(self: Any, *rest: Any, **options: Any) -> Any:
        out, err = communicate(self, *rest, **options)
        if getattr(self, "is_ours", False):
            for text in (out, err):
                CANARY.search("output of a process", text or b"")
        return out, err

    subprocess.Popen.__init__, subprocess.Popen.communicate = started, ended  # type: ignore[method-assign]


# ── hooks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def told(report: pytest.TestReport, *, allowed: bool) -> None:
    """At the end of each test: search what it left behind, and fail it for what was found anywhere meanwhile.

    `allowed` leaves out the addresses that the test itself made up, to see what becomes of them.
    """
    for title, text in report.sections:
        CANARY.search(title, text)
    found = [line for line in CANARY.take() if not (allowed and line.startswith(("address", "query")))]
    if found and report.outcome == "passed":
        report.outcome = "failed"
        report.longrepr = "personal data got out:\n  " + "\n  ".join(found)


def finish(session: pytest.Session) -> None:
    """The metrics that the whole run made in this process, once."""
    if "hub.web.metrics" not in sys.modules:
        return
    from prometheus_client import generate_latest

    from hub.web.metrics import REGISTRY

    CANARY.search("metrics", generate_latest(REGISTRY))
    if found := CANARY.take():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        sys.stderr.write("personal data got out:\n  " + "\n  ".join(found) + "\n")
