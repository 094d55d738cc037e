"""The gateway's file drop: a CSV left in one folder is answered by a CSV of the same name in the other.

A file is taken when it was written to its end (a closing line break, and no change for two seconds). Until every line
has its end the answer is called `<name>.part`; then it gets the file's own name, in one step.
"""

import csv
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapters.gatewayconfig import Drop
from adapters.gatewaydoor import Desk, as_csv
from hub.errors import HubError

QUIET = 2.0
MAX_LINES = 10_000
HEADERS = {
    "流水号": "reference", "事项": "service", "服务": "service", "证件号": "id_no", "证件号码": "id_no",
    "子女证件号": "beneficiary_id_no",
}  # fmt: skip
"""What a column may be called in Chinese."""
_PLAN = ".taken"


def sweep(desk: Desk, drop: Drop, *, quiet: float = QUIET) -> int:
    """Take in new files and write the answers that changed. Gives how many files were answered for good."""
    for folder in (drop.incoming, drop.outgoing):
        folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(drop.incoming.glob("*.csv")):
        if _ended(path, quiet):
            _take(desk, path, drop)
    return sum(_answer(desk, plan, drop) for plan in sorted(drop.incoming.glob(f"*{_PLAN}")))


def _ended(path: Path, quiet: float) -> bool:
    try:
        raw = path.read_bytes()
        return raw.endswith(b"\n") and time.time() - path.stat().st_mtime >= quiet
    except OSError:
        return False


def _take(desk: Desk, path: Path, drop: Drop) -> None:
    """Every line becomes a ticket or an error, and the file is renamed: a kill in between takes the same tickets."""
    plan: list[dict[str, Any]] = []
    for place, line in enumerate(_lines(path, drop.encoding)):
        asked = {"reference": f"{path.stem}-{place + 1}"} | {
            name: said for name, said in line.items() if said
        }
        try:
            plan.append({"ticket": desk.accept(asked).id, "reference": asked["reference"]})
        except HubError as fault:
            error = {"state": "error", "code": fault.code, "zh": fault.zh, "reference": asked["reference"]}
            plan.append({"error": error})
    _written(path.with_suffix(_PLAN), json.dumps({"name": path.name, "lines": plan}).encode())
    path.unlink()


def _lines(path: Path, encoding: str) -> list[dict[str, str]]:
    try:
        with path.open(encoding=encoding, newline="") as stream:
            rows = [row for row in csv.reader(stream, strict=True) if row][: MAX_LINES + 1]
    except (UnicodeDecodeError, csv.Error):
        return [{}]
    names = [HEADERS.get(name.strip(), name.strip()) for name in rows[0]] if rows else []
    return [dict(zip(names, map(str.strip, row), strict=False)) for row in rows[1:]] or [{}]


def _answer(desk: Desk, plan: Path, drop: Drop) -> bool:
    known = json.loads(plan.read_bytes())
    answers: list[Mapping[str, Any]] = []
    ended = True
    for line in known["lines"]:
        ticket = desk.tickets.by_id(line["ticket"]) if "ticket" in line else None
        if ticket is not None:
            answers.append(desk.answer(ticket))
            ended = ended and ticket.final
        else:
            answers.append(line.get("error", {"state": "error", "reference": line.get("reference", "")}))
    out = drop.outgoing / known["name"]
    raw = as_csv(answers).encode(drop.encoding)
    part = out.with_suffix(".part")
    if not ended:
        if not part.exists() or part.read_bytes() != raw:
            _written(part, raw)
        return False
    _written(out, raw)
    part.unlink(missing_ok=True)
    plan.unlink()
    return True


def _written(path: Path, raw: bytes) -> None:
    """All of it or nothing; mode 0600, because it names people."""
    waiting = path.with_suffix(f"{path.suffix}.tmp")
    with os.fdopen(os.open(waiting, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(raw)
        stream.flush()
        os.fsync(stream.fileno())
    waiting.replace(path)
