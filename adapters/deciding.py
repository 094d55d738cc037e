"""A named official decides about a held pass: first the hub's ledger, then our own record, then the next pass acts.

The ledger shows that it happened, how many rows it was about, and SHA-256(salt || name). Salt, name and the hub's
receipt stay here: with them the department can show for ever who it was, and nobody else can tell. Without the hub
nothing is decided: what a release lets through could not be sent anyway.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime

from adapters import quarantine
from adapters.desk import Desk
from adapters.model import Config
from adapters.quarantine import Held
from hub.clock import seconds

SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided. `commitment` stands in the ledger's leaf; `salt` (hex) opens it to `officer`."""

    held_id: int
    dataset: str
    reason: str
    rows: int
    total: int
    decision: str
    officer: str
    salt: str
    commitment: str
    receipt: str
    at: str


def commitment(salt: str, officer: str) -> str:
    """Hex SHA-256 of the salt's bytes and the name in UTF-8."""
    return hashlib.sha256(bytes.fromhex(salt) + officer.encode("utf-8")).hexdigest()


def decide(
    desk: Desk, config: Config, held_id: int, officer: str, *, discard: bool = False
) -> Decision | None:
    """Release one hold (good for one pass) or throw it away; None when there is no such open hold.

    Raises what the hub says, and then nothing was decided. A call whose answer was lost may be made again: the same
    name is the same entry.
    """
    found = next((one for one in quarantine.held(desk.state) if one.id == held_id), None)
    dataset = config.dataset(found.dataset) if found is not None else None
    if found is None or dataset is None:
        return None
    chosen = "discarded" if discard else "released"
    salt = _salt(desk, found, officer, chosen)
    shown = commitment(salt, officer)
    said = {
        "decision": chosen, "reason": found.reason, "rows": found.rows, "total": found.total,
        "held_at": seconds(datetime.fromisoformat(found.made)), "official": shown,
    }  # fmt: skip
    receipt = desk.client.hold_decided(dataset.type, said, key=f"hold-{salt[:32]}")
    made = Decision(
        found.id, found.dataset, found.reason, found.rows, found.total, chosen, officer, salt,
        shown, receipt, desk.stamp(),
    )  # fmt: skip
    with desk.state.transaction() as db:
        if not quarantine.release(desk.state, held_id, officer, discard=discard):
            return None
        values = (
            made.held_id, made.dataset, made.reason, made.rows, made.total, made.decision, made.officer, made.salt,
            made.commitment, made.receipt, made.at,
        )  # fmt: skip
        db.execute(f"insert into decided values ({', '.join('?' * len(values))})", values)  # noqa: S608
        db.execute("delete from meta where name = ?", (_place(found),))
    return made


def decided(desk: Desk) -> list[Decision]:
    """Every decision so far, newest first: a release that was acted upon is still told here."""
    return [
        Decision(*row) for row in desk.state.execute("select * from decided order by at desc, held_id desc")
    ]


def _salt(desk: Desk, held: Held, officer: str, chosen: str) -> str:
    """Kept before the hub hears of it, so that a call that is repeated after a kill says the same."""
    kept = desk.state.get(_place(held))
    if kept is not None:
        salt, name, before = json.loads(kept)
        if (name, before) == (officer, chosen):
            return str(salt)
    salt = secrets.token_hex(SALT_BYTES)
    desk.state.put(_place(held), json.dumps([salt, officer, chosen], ensure_ascii=False))
    return salt


def _place(held: Held) -> str:
    return f"deciding:{held.id}:{held.made}"
