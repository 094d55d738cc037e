"""Batch doors over real sockets: clients that read while they send, send first, never read, or break off."""

import asyncio
import json
import socket
import time
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa
import uvicorn
from starlette.requests import Request
from web.api.apiworld import ApiWorld
from world import TestDepartment

from hub.certificates.model import certificates
from hub.web import issuer, ndjson

PATH = "/v1/certificates/batch"


@pytest.fixture
def database(sqlite_database: str) -> str:
    """One is enough: what is at stake here stands before any database."""
    return sqlite_database


@pytest.fixture
async def port(world: ApiWorld):
    """The world's doors, served by uvicorn in this loop."""
    server = uvicorn.Server(uvicorn.Config(world.app, log_level="error", lifespan="off"))
    listening = small(socket.create_server(("127.0.0.1", 0)))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    await until(lambda: server.started)
    yield listening.getsockname()[1]
    server.should_exit = server.force_exit = True
    await task
    world.hub.batches.close()


def small(made: socket.socket) -> socket.socket:
    """With little room in the kernel, so that a client that does not read is noticed before megabytes."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    return made


class Batch:
    """One connection with a batch on it, sent in chunks of the sender's choosing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.head = b""

    def send(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")

    async def line(self) -> dict:
        """The next result; the head of the answer is read on the way."""
        if not self.head:
            self.head = await self.reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in self.head, self.head
        size = await self.reader.readline()
        while size.strip() == b"" or not size.startswith(b"{"):
            size = await self.reader.readline()
        return json.loads(size)


@asynccontextmanager
async def batch(world: ApiWorld, department: TestDepartment, port: int, path: str = PATH):
    token = await world.own_token(department)
    made = small(socket.create_connection(("127.0.0.1", port)))
    reader, writer = await asyncio.open_connection(sock=made, limit=2**14)
    writer.write(
        f"POST {path} HTTP/1.1\r\nhost: hub\r\ntransfer-encoding: chunked\r\n"
        f"content-type: application/x-ndjson\r\nauthorization: DPoP {token}\r\n"
        f"dpop: {world.proof(department, 'POST', path, token)}\r\n\r\n".encode()
    )
    try:
        yield Batch(reader, writer)
    finally:
        writer.transport.abort()


async def lines_of(world: ApiWorld, count: int) -> list[bytes]:
    person = world.person("王小明")
    made = [await world.body_of_certificate("degree", (person, "owner")) for _ in range(count)]
    return [json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in made]


async def stored(world: ApiWorld) -> int:
    async with world.view() as view:
        return int(await view.value(sa.select(sa.func.count()).select_from(certificates)))


async def until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        await asyncio.sleep(0.05)


async def test_a_client_gets_the_answer_to_a_line_while_the_next_is_not_even_written(world, degree, port):
    first, second = await lines_of(world, 2)
    async with batch(world, degree, port) as call:
        call.send(first[:700])  # a line may come in pieces
        await asyncio.sleep(0.1)
        call.send(first[700:])
        told = await call.line()
        assert (told["line"], told["status"]) == (1, 201)
        assert await stored(world) == 1
        call.send(second)
        assert (await call.line())["status"] == 201
        call.end()
        assert (await call.reader.read()).endswith(b"0\r\n\r\n")


async def test_a_client_that_sends_everything_before_it_reads_is_not_waited_for(world, degree, port, monkeypatch):
    monkeypatch.setattr(ndjson, "AHEAD", 64 * 1024)
    monkeypatch.setattr(ndjson, "STUCK_SECONDS", 0.05)
    nonsense = [b'{"sd_jwt":"%b"}\n' % (b"x" * 4000)] * 900
    (good,) = await lines_of(world, 1)
    async with batch(world, degree, port) as call:
        for line in [*nonsense, good]:
            call.send(line)
            await asyncio.wait_for(call.writer.drain(), 30)
        call.end()
        told = [await asyncio.wait_for(call.line(), 30) for _ in range(901)]
    assert [one["line"] for one in told] == list(range(1, 902))
    assert {one["status"] for one in told[:-1]} == {400}
    assert told[-1]["status"] == 201


async def test_a_client_that_never_reads_is_let_go_and_finds_its_lines_done(world, degree, port, monkeypatch):
    monkeypatch.setattr(ndjson, "STUCK_SECONDS", 0.05)
    monkeypatch.setattr(ndjson, "UNREAD_SECONDS", 0.5)
    good = await lines_of(world, 2)
    async with batch(world, degree, port) as call:
        call.send(good[0])
        call.send(b"7\n" * 3_000)
        await until(lambda: world.hub.batches.under_way == 1)
        await until(lambda: world.hub.batches.under_way == 0)
    assert await stored(world) == 1
    async with batch(world, degree, port) as call:
        call.send(good[0])
        call.send(good[1])
        call.end()
        told = [await call.line() for _ in range(2)]
    assert [(one["status"], one["replayed"]) for one in told] == [(201, True), (201, False)]


async def test_after_a_break_the_same_lines_again_register_what_is_missing_and_nothing_twice(world, degree, port):
    good = await lines_of(world, 6)
    async with batch(world, degree, port) as call:
        for line in good[:3]:
            call.send(line)
        assert (await call.line())["status"] == 201
        call.send(good[3][:500])  # and the client is gone in the middle of a line
    await until(lambda: world.hub.batches.under_way == 0)
    assert await stored(world) == 3
    async with batch(world, degree, port) as call:
        for line in good:
            call.send(line)
        call.end()
        told = [await call.line() for _ in range(6)]
    assert [one["replayed"] for one in told] == [True] * 3 + [False] * 3
    assert await stored(world) == 6


async def test_more_batches_than_are_taken_at_once_are_told_when_to_come_again(world, degree, edu, port, monkeypatch):
    monkeypatch.setattr(world.hub.batches, "at_once", 1)
    good = await lines_of(world, 1)
    async with batch(world, degree, port) as call:
        call.send(good[0])
        assert (await call.line())["status"] == 201
        for department, path in ((degree, PATH), (edu, "/v1/verifications/batch")):
            answer = await world.call(
                department, "POST", path, content=b"{}\n", media_type="application/x-ndjson"
            )
            assert (answer.status_code, answer.json()["code"]) == (429, "batch.too_many")
            assert int(answer.headers["retry-after"]) > 0
        call.end()
    await until(lambda: world.hub.batches.under_way == 0)
    answer = await world.call(degree, "POST", PATH, content=good[0], media_type="application/x-ndjson")
    assert json.loads(answer.text)["replayed"]


async def test_ten_megabytes_without_a_line_end_are_refused_at_their_place_and_the_next_line_is_done(
    world, degree, port
):
    good = await lines_of(world, 1)
    async with batch(world, degree, port) as call:
        for _ in range(160):
            call.send(bytes(range(11, 255)) * 268)
            await call.writer.drain()
        call.send(b"\n" + good[0])
        call.end()
        told = [await asyncio.wait_for(call.line(), 30) for _ in range(2)]
    assert [(one["status"]) for one in told] == [413, 201]
    assert told[0]["problem"]["code"] == "batch.line_too_long"


async def test_a_client_that_falls_silent_is_told_so_and_let_go(world, degree, port, monkeypatch):
    monkeypatch.setattr(ndjson, "SILENT_SECONDS", 0.3)
    good = await lines_of(world, 1)
    async with batch(world, degree, port) as call:
        call.send(good[0] + b'{"sd_jwt"')
        told = [await call.line() for _ in range(2)]
    assert [one["status"] for one in told] == [201, 400]
    assert told[1]["problem"]["code"] == "body.cut_short"


class Sent(Request):
    """Five lines, each in a part of its own, from a client that stays or is gone after the last."""

    def __init__(self, *, stays: bool = True) -> None:
        parts = [{"type": "http.request", "body": b"%d\n" % n, "more_body": n < 5} for n in range(1, 6)]
        self.left = iter(parts if stays else [*parts[:4], {"type": "http.disconnect"}])
        super().__init__({"type": "http", "headers": []}, self.next)

    async def next(self) -> dict:
        return next(self.left, None) or await asyncio.get_running_loop().create_future()


async def answered(request: Request, commit, commits_at_once: int) -> list[dict]:
    limits, told = ndjson.Limits(100, 100, 1_000, 1, commits_at_once=commits_at_once), []

    async def prepare(lines):
        return int(lines[0]) if lines else 0

    async def send(message) -> None:
        told.extend(json.loads(line) for line in message.get("body", b"").splitlines())

    answer = ndjson.LinesAnswer(request, limits, prepare=prepare, commit=commit, told=lambda _: {})
    await asyncio.wait_for(answer(request.scope, request.receive, send), 10)
    return told


@pytest.mark.parametrize("at_once", [1, 2, 3])
async def test_commits_go_on_at_once_as_far_as_the_door_allows_and_answers_keep_the_order(at_once):
    under_way, most, ended = set(), 0, []

    async def commit(number):
        nonlocal most
        under_way.add(number)
        most = max(most, len(under_way))
        for _ in range(3 if number % 2 else 1):  # the first of two ends last
            await asyncio.sleep(0.02)
        under_way.remove(number)
        ended.append(number)
        return [{"n": number}]

    told = await answered(Sent(), commit, at_once)
    assert told == [{"line": number, "n": number} for number in range(1, 6)]
    assert most == at_once
    assert (ended == sorted(ended)) is (at_once == 1)


async def test_a_commit_that_was_begun_comes_to_its_end_though_the_client_is_gone():
    begun, ended = [], []

    async def commit(number):
        begun.append(number)
        await asyncio.sleep(0.05)
        ended.append(number)
        return [{"n": number}]

    await answered(Sent(stays=False), commit, 2)
    assert begun
    assert begun == ended


@pytest.mark.parametrize("lines_a_commit", [1, 3, 6, 7, 500])
async def test_results_are_the_same_wherever_a_chunk_ends(world, degree, port, monkeypatch, lines_a_commit):
    limits = issuer.LIMITS.__class__(6_000, 512 * 1024, 2**24, lines_a_commit)
    monkeypatch.setattr(issuer, "LIMITS", limits)
    good = await lines_of(world, 3)
    lines = [good[0], b"7\n", b"\n", good[1], good[0], b"{}\n", good[2].rstrip(b"\n")]
    async with batch(world, degree, port) as call:
        call.send(b"".join(lines))
        call.end()
        told = [await call.line() for _ in range(6)]
    assert [one["line"] for one in told] == [1, 2, 3, 4, 5, 6]
    assert [one["status"] for one in told] == [201, 422, 201, 201, 422, 201]
    assert [one["replayed"] for one in told if one["status"] == 201] == [False, False, True, False]
