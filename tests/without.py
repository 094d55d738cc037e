"""A pytest plugin that takes one mechanism out, so that tests/house can show that its promise then fails.

Used as `YIMEN_WITHOUT=name python -m pytest -p without tests/...`; never loaded otherwise.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa


def _signatures() -> None:
    """Promise 1 without checking the department's signature over stored bytes."""
    from hub.formats import jws, packed
    from hub.verification import signed

    def believed(asked: Sequence[signed.Unchecked]) -> list[signed.Signed | None]:
        taken = [packed.take_apart(one.rested) for one in asked]
        return [
            signed.Signed(parts.issuer_jwt, jws.split(parts.issuer_jwt).payload, disclosures)
            for parts, disclosures in taken
        ]

    signed.check_all = believed


def _record() -> None:
    """Promise 2 without writing the Access down."""
    from hub.access.record import Recorded
    from hub.verification import verify

    async def nothing(tx: Any, looks: Any, *, meanwhile: Callable[[list[Recorded]], None]) -> list[Recorded]:
        made = [Recorded("x", b"x" * 32, tx.now) for _ in looks]
        meanwhile(made)
        return made

    verify.record = nothing


def _chain() -> None:
    """Promise 2 without comparing each Access to the one before it."""
    from hub.access import history

    history._gap = lambda _row, _older: False  # type: ignore[assignment]


def _consistency() -> None:
    """Promise 3 without checking that the new checkpoint extends the pinned one."""
    from hub.ledger import follow

    follow.verify_consistency = lambda *_: True  # type: ignore[assignment]


def _coverage() -> None:
    """Promise 4 without asking whether the grant covers what is wanted."""
    from hub.verification import checks, verify
    from hub.verification.model import Step

    verify._coverage = lambda *_: checks.passed(Step.COVERAGE)  # type: ignore[assignment]


def _caps() -> None:
    """Promise 4 without the catalogue's limit on what may be asked."""
    from hub.consent import request

    request._within_caps = lambda *_: None  # type: ignore[assignment]


def _guard() -> None:
    """Promise 5 with read-then-write in place of the one guarded statement."""
    from hub.consent import use
    from hub.consent.model import grants
    from hub.verification import verify

    async def naive(tx: Any, wanted: Any) -> list[Any]:
        known = await use.by_public_ids(tx, (one.grant for one in wanted))
        for grant in known.values():
            uses = sa.case((grants.c.uses < grants.c.max_uses, grants.c.uses + 1), else_=grants.c.uses)
            await tx.run(grants.update().where(grants.c.id == grant.id).values(uses=uses))
        return [use.Taken(known[one.grant]) for one in wanted]

    verify.take_uses = naive


MECHANISMS: dict[str, Callable[[], None]] = {
    "signatures": _signatures,
    "record": _record,
    "chain": _chain,
    "consistency": _consistency,
    "coverage": _coverage,
    "caps": _caps,
    "guard": _guard,
}


def pytest_configure() -> None:
    MECHANISMS[os.environ["YIMEN_WITHOUT"]]()
