"""Peers in other languages and other environments: @sd-jwt/sd-jwt-vc on Node (ratios 2 and 3), ACA-Py (ratio 7).

`--install` fetches them with npm and pip (or uv) into `.cache/peers`; nothing else here needs a network. A peer that is
not there is skipped with the reason, never passed. ACA-Py verifies an SD-JWT of 12 claims with its own EdDSA key: it
resolves the signer's DID and opens a wallet session, which the hub does not; the hub checks proof, token, grant and
status, unseals, selects, and records the Access durably, which ACA-Py does not.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import load, stage
from benchmarks.measure import ROOT, Aim, Report, arguments, finish, rate
from benchmarks.stage import Server
from benchmarks.tokens import HIDDEN, Operation, spoil, subject
from benchmarks.tokens import made as made_tokens
from benchmarks.verify_api import ACCEPTED, FEW, Door, requests
from benchmarks.verify_api import door as open_door

HOME = ROOT / ".cache" / "peers"
NODE, ACAPY = HOME / "node", HOME / "acapy"
NPM = ("@sd-jwt/sd-jwt-vc@0.19.0",)
NODE_VERIFY = Aim(2, "SD-JWT verify, 12 claims / @sd-jwt/sd-jwt-vc verify", 4.0)
NODE_ISSUE = Aim(3, "SD-JWT issue, 12 claims / @sd-jwt/sd-jwt-vc issue", 4.0)
ACA_VERIFY = Aim(7, "verify door on PostgreSQL / ACA-Py sd-jwt/verify without accounting, c=8", 4.0)
ACA_CPU = Aim(7, "the same by CPU: ACA-Py's per request / the hub's (PostgreSQL's not counted)", 4.0)
ACA_AGAIN = Aim(7, "the same by CPU, people asked again, as ACA-Py gets one token again and again", 4.0)
CONNECTIONS = 8


def main() -> int:
    """Measure what is there, skip what is not."""
    parser = arguments("peers", rounds=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each server in each round")
    parser.add_argument("--install", action="store_true", help="fetch the peers first")
    given = parser.parse_args()
    if given.install:
        install()
    report = Report("peers", {"rounds": given.rounds, "seconds": given.seconds, "connections": CONNECTIONS})
    _node(report, given.rounds)
    _acapy(report, given.rounds, given.seconds)
    return finish(report, given.json)


def install() -> None:
    """Both peers, each in a folder of its own below .cache/peers."""
    NODE.mkdir(parents=True, exist_ok=True)
    if shutil.which("npm"):
        (NODE / "package.json").write_text('{"private": true}\n')
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", *NPM], cwd=NODE, check=True)
    python = _newer_python()
    if python is None:
        print("ACA-Py needs Python 3.12 or newer: none found", file=sys.stderr)
        return
    subprocess.run([python, "-m", "venv", "--clear", ACAPY], check=True)
    subprocess.run([ACAPY / "bin" / "python", "-m", "pip", "install", "--quiet", "acapy-agent"], check=True)


def _newer_python() -> str | None:
    """A Python that ACA-Py runs on."""
    named = [os.environ.get("YIMEN_PEER_PYTHON", ""), "python3.13", "python3.12", "python3"]
    named += [str(one) for one in sorted(Path.home().glob(".pyenv/versions/3.1[2-9]*/bin/python3"))]
    for one in filter(None, named):
        with contextlib.suppress(OSError):
            asked = [one, "-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))"]
            if subprocess.run(asked, capture_output=True).returncode == 0:
                return one
    return None


# ---------------------------------------------------------------- node


def _node(report: Report, rounds: int) -> None:
    reason = ""
    if shutil.which("node") is None:
        reason = "node is not installed: apt-get install -y nodejs npm"
    elif not (NODE / "node_modules").is_dir():
        reason = "not installed: ./run bench peers --install"
    if reason:
        report.skip(NODE_VERIFY, reason)
        report.skip(NODE_ISSUE, reason)
        return
    ours, _ = made_tokens(int(time.time()))
    with _node_process() as peer:
        found: dict[str, list[float]] = {"verify": [], "issue": [], "peer_verify": [], "peer_issue": []}
        steps: dict[str, Operation] = {
            "verify": lambda: rate(ours["sdjwt_verify"]),
            "peer_verify": lambda: peer.rate("verify"),
            "issue": lambda: rate(ours["sdjwt_issue"]),
            "peer_issue": lambda: peer.rate("issue"),
        }
        for step in steps.values():  # warm up
            step()
        for number in range(max(rounds, 5)):
            for name in list(steps)[:: 1 if number % 2 == 0 else -1]:
                found[name].append(float(str(steps[name]())))
    report.result("@sd-jwt/sd-jwt-vc", version=_node_version(), **{
        f"{name}_per_cpu_second": statistics.median(found[f"peer_{name}"]) for name in ("verify", "issue")
    })  # fmt: skip
    report.ratio(NODE_VERIFY, found["verify"], found["peer_verify"])
    report.ratio(NODE_ISSUE, found["issue"], found["peer_issue"])


@dataclass
class _Node:
    process: subprocess.Popen[str]

    def rate(self, name: str, seconds: float = 0.25) -> float:
        """Calls per CPU-second of the peer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{name} {seconds}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


@contextlib.contextmanager
def _node_process() -> Iterator[_Node]:
    shutil.copy(ROOT / "benchmarks" / "peer.mjs", NODE / "peer.mjs")  # modules are looked for beside the script
    told = subject(int(time.time()))
    with subprocess.Popen(
        ["node", "peer.mjs"], cwd=NODE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=stage.die_with_parent,
    ) as process:  # fmt: skip
        peer = _Node(process)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({**told, "hidden": list(HIDDEN), "spoilt": spoil(told["token"])}) + "\n")
        process.stdin.flush()
        try:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the peer on node does not do what it should")
            yield peer
        finally:
            process.kill()


def _node_version() -> str:
    found = json.loads((NODE / "node_modules" / "@sd-jwt" / "sd-jwt-vc" / "package.json").read_text())
    return str(found["version"])


# ---------------------------------------------------------------- ACA-Py


def _acapy(report: Report, rounds: int, seconds: float) -> None:
    if not (ACAPY / "bin" / "aca-py").exists():
        why = "" if _newer_python() else "; it needs Python 3.12 or newer, and there is none on this machine"
        report.skip(ACA_VERIFY, f"not installed: ./run bench peers --install{why}")
        return
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(stage.folder())
        postgres = stack.enter_context(stage.durable_postgres())
        if postgres is None:
            report.skip(ACA_VERIFY, "PostgreSQL is not installed: apt-get install -y postgresql")
            return
        door = stack.enter_context(open_door("postgresql", folder / "hub", postgres, people=12_000, rows=0))
        peer = stack.enter_context(_agent(folder / "acapy"))
        asked = [_aca_request(peer.port)]
        theirs: list[load.Load] = []

        def ask_them() -> None:
            theirs.append(_checked(
                load.steady(peer.port, asked, folder=folder, pid=peer.process.pid, connections=CONNECTIONS,
                            seconds=seconds, expect=b'"valid": true', repeat=True)
            ))  # fmt: skip

        def ask_us() -> None:
            count = int(max([1_000.0, *door.per_second]) * (seconds + 0.5) * 2.5)
            door.took(_knock(door, count, 0, folder, seconds))
            again = _checked(_knock(door, 2 * count, FEW, folder, seconds))
            door.again.append(again.per_second)
            door.again_cpu.append(again.server_cpu)

        ask_them()  # warm up
        ask_us()
        theirs.clear()
        door.forget()
        for number in range(rounds):
            for step in (ask_them, ask_us)[:: 1 if number % 2 == 0 else -1]:
                step()
    report.result("aca-py sd-jwt/verify", per_second=_middle(one.per_second for one in theirs),
                  p50_ms=_middle(one.p50 for one in theirs), p99_ms=_middle(one.p99 for one in theirs),
                  server_cpu_us=_middle(one.server_cpu for one in theirs), errors=0)  # fmt: skip
    report.result("verify door", per_second=_middle(door.per_second), p50_ms=_middle(door.p50),
                  p99_ms=_middle(door.p99), server_cpu_us=_middle(door.cpu), errors=0)  # fmt: skip
    report.result("verify door, asked again", per_second=_middle(door.again),
                  server_cpu_us=_middle(door.again_cpu), errors=0)  # fmt: skip
    report.ratio(ACA_VERIFY, door.per_second, [one.per_second for one in theirs])
    report.ratio(ACA_CPU, [one.server_cpu for one in theirs], door.cpu)
    report.ratio(ACA_AGAIN, [one.server_cpu for one in theirs], door.again_cpu)


def _knock(door: Door, count: int, few: int, folder: Path, seconds: float) -> load.Load:
    return load.steady(door.server.port, requests(door, count, few=few), folder=folder, pid=door.server.process.pid,
                       connections=CONNECTIONS, seconds=seconds, expect=ACCEPTED)  # fmt: skip


@contextlib.contextmanager
def _agent(folder: Path) -> Iterator[Server]:
    """ACA-Py with a wallet in SQLite, no ledger, no transports; its admin API on a free port."""
    folder.mkdir()
    port = stage.free_port()
    command = [str(ACAPY / "bin" / "aca-py"), "start", "--admin", "127.0.0.1", str(port), "--admin-insecure-mode"]
    command += ["--no-ledger", "--no-transport", "--wallet-type", "askar", "--wallet-name", "bench"]
    command += ["--wallet-key", "bench", "--auto-provision", "--log-level", "error"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("YIMEN_", "PYTHON"))}
    with stage.served(stage.start(command, port, folder, {**kept, "HOME": str(folder)}, within=120)) as server:
        yield server


def _aca_request(port: int) -> bytes:
    """A call of its /wallet/sd-jwt/verify that is answered with "valid", and whose spoilt twin is not."""

    def call(path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    made = call("/wallet/did/create", {"method": "key", "options": {"key_type": "ed25519"}})
    payload = {**subject(int(time.time()))["clear"], **HIDDEN}
    shown = [name for name in payload if name not in HIDDEN]
    body = {"did": made["result"]["did"], "headers": {}, "payload": payload, "non_sd_list": shown}
    token = str(call("/wallet/sd-jwt/sign", body))
    good = call("/wallet/sd-jwt/verify", {"sd_jwt": token})
    assert good["valid"] is True, good
    assert len(good["disclosures"]) == len(HIDDEN)
    assert call("/wallet/sd-jwt/verify", {"sd_jwt": spoil(token)})["valid"] is False
    return stage.raw_request("POST", "/wallet/sd-jwt/verify", {}, json.dumps({"sd_jwt": token}).encode())


def _checked(found: load.Load) -> load.Load:
    if found.errors:
        raise RuntimeError(f"{found.errors} of {found.answered} failed: {found.example}")
    return found


def _middle(values: Any) -> float:
    found: Sequence[float] = list(values)
    return statistics.median(found)


if __name__ == "__main__":
    sys.exit(main())
