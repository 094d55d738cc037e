"""The load generators: a process of its own that keeps N connections busy with ready-made requests.

`steady` is wrk where it is installed (`replay.lua` gives it a prepared request each time and looks into each answer):
it takes the least from the server beside it. `run` is written here: it sends a number of requests and ends with the
last answer, and stands in where there is no wrk. Both say what they cost.
"""

import argparse
import asyncio
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, percentile, tree_cpu


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one run. Latencies in milliseconds; `server_cpu` in microseconds an answer."""

    answered: int
    errors: int
    per_second: float
    p50: float
    p99: float
    client_cpu: float
    server_cpu: float
    example: str


def run(
    port: int,
    requests: Sequence[bytes],
    *,
    folder: Path,
    pid: int,
    connections: int = 32,
    seconds: float = 3.0,
    expect: bytes = b"",
    repeat: bool = False,
) -> Load:
    """Send `requests` over `connections`, each once (or round and round), for at most `seconds`.

    An answer that is not 2xx, or in which `expect` does not occur, is an error.
    """
    path = folder / "requests.pickle"
    path.write_bytes(pickle.dumps((list(requests), expect)))
    before = tree_cpu(pid)
    command = [sys.executable, "-m", "benchmarks.load", str(port), str(path), str(connections), str(seconds)]
    done = subprocess.run(
        [*command, *(["--repeat"] if repeat else [])], cwd=ROOT, capture_output=True, timeout=seconds + 20
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-2000:])
    used = tree_cpu(pid) - before
    told: dict[str, Any] = json.loads(done.stdout)
    times = told["milliseconds"]
    return Load(
        answered=len(times),
        errors=told["errors"],
        per_second=len(times) / told["seconds"],
        p50=percentile(times, 0.50),
        p99=percentile(times, 0.99),
        client_cpu=told["cpu"] / len(times) * 1e6,
        server_cpu=used / len(times) * 1e6,
        example=told["example"],
    )


def steady(
    port: int,
    requests: Sequence[bytes],
    *,
    folder: Path,
    pid: int,
    expect: bytes,
    connections: int = 32,
    seconds: float = 3.0,
    repeat: bool = False,
) -> Load:
    """Keep the connections busy for the whole time, in whole seconds; `requests` must be enough, or `repeat`.

    Every answer that is not 200 or in which `expect` does not occur is an error; so is a request too few.
    """
    if shutil.which("wrk") is None:
        return run(port, requests, folder=folder, pid=pid, connections=connections, seconds=seconds, expect=expect,
                   repeat=repeat)  # fmt: skip
    path = folder / "requests.prepared"
    path.write_bytes(b"".join(b"%d\n%s" % (len(one), one) for one in requests))
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", str(max(1, round(seconds)))]
    command += ["--timeout", "10", "--script", str(ROOT / "benchmarks" / "replay.lua"), f"http://127.0.0.1:{port}"]
    command += ["--", str(path), expect.decode(), "again" if repeat else "once"]
    before, own = tree_cpu(pid), os.times()
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    used, after = tree_cpu(pid) - before, os.times()
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if told["dried"]:
        raise RuntimeError(f"the server answered {told['answered']} requests: too few were prepared")
    answered = max(1, told["answered"])
    cost = after.children_user + after.children_system - own.children_user - own.children_system
    return Load(
        answered=told["answered"],
        errors=told["errors"],
        per_second=told["answered"] / told["seconds"],
        p50=told["p50"],
        p99=told["p99"],
        client_cpu=cost / answered * 1e6,
        server_cpu=used / answered * 1e6,
        example=told["example"],
    )


class Connection(asyncio.Protocol):
    """Sends one request after the other; every answer has a Content-Length or comes in chunks."""

    def __init__(self, source: Iterator[bytes], expect: bytes, told: "Told", end: float) -> None:
        self.source, self.expect, self.told, self.end = source, expect, told, end
        self.buffer = bytearray()
        self.over = asyncio.get_running_loop().create_future()
        self.began = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.Transport = transport
        self.next()

    def next(self) -> None:
        request = next(self.source, None) if time.perf_counter() < self.end else None
        if request is None:
            self.transport.close()
            return
        self.began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0 or not _whole(self.buffer, head):
            return
        self.told.milliseconds.append((time.perf_counter() - self.began) * 1e3)
        if self.buffer[9:10] != b"2" or self.expect not in self.buffer:
            self.told.errors += 1
            self.told.example = self.told.example or bytes(self.buffer[:2000]).decode(errors="replace")
        self.buffer.clear()
        self.next()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


class Told:
    """Counters that all connections share."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self.errors = 0
        self.example = ""


def _whole(buffer: bytearray, head: int) -> bool:
    headers = bytes(buffer[:head]).lower()
    place = headers.find(b"content-length:")
    if place >= 0:
        length = int(headers[place + 15 : (headers + b"\r").find(b"\r", place)])
        return len(buffer) >= head + 4 + length
    return buffer.endswith(b"0\r\n\r\n")


async def _drive(
    port: int, requests: Sequence[bytes], expect: bytes, connections: int, seconds: float, repeat: bool
) -> dict[str, Any]:
    told, loop = Told(), asyncio.get_running_loop()
    source = _for_ever(requests) if repeat else iter(requests)
    start, cpu = time.perf_counter(), time.process_time()
    made = [
        await loop.create_connection(lambda: Connection(source, expect, told, start + seconds), "127.0.0.1", port)
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.over for _, protocol in made))
    return {
        "milliseconds": told.milliseconds,
        "errors": told.errors,
        "seconds": time.perf_counter() - start,
        "cpu": time.process_time() - cpu,
        "example": told.example,
    }


def _for_ever(requests: Sequence[bytes]) -> Iterator[bytes]:
    while True:
        yield from requests


def as_program() -> None:
    """Drive a server and print what came of it as JSON."""
    import uvloop

    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("path", type=Path)
    parser.add_argument("connections", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--repeat", action="store_true")
    given = parser.parse_args()
    requests, expect = pickle.loads(given.path.read_bytes())
    drive = _drive(given.port, requests, expect, given.connections, given.seconds, given.repeat)
    print(json.dumps(uvloop.run(drive)))


if __name__ == "__main__":
    as_program()
