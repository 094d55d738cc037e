"""The pull order as it leaves: signed, with the consent's own evidence, made at the moment an agent takes it (3)."""

from hub.clock import seconds
from hub.consent.evidence import approval_of_grant
from hub.errors import Unavailable, Unprocessable
from hub.formats.pullorder import Evidence, Subject, holder_digest, make_order
from hub.ledger.bodies import open_body
from hub.ledger.prove import prove_inclusion
from hub.ledger.tileset import TileReader
from hub.registry import subjects
from hub.store.tx import View
from hub.verification.pull import Claimed
from keys.signer import Signer


async def order_of(view: View, reader: TileReader, one: Claimed, *, signer: Signer, issuer: str) -> str:
    """The signed order, with the consent's own evidence (3). It is made here, and rests nowhere.

    Raises Unavailable `ledger.not_yet` while the grant waits for its place in the ledger (a second or two), and
    Unprocessable `pull.no_number` when nobody knows by which number to look the holder up.
    """
    grant, leaf = one.grant, one.grant.leaf_hash
    if leaf is None:
        raise _no_number()
    proof = await prove_inclusion(view, reader, leaf_hash=leaf)
    body = await open_body(view, leaf_hash=leaf, subject_id=grant.holder)
    bound = body.event.get("holder")
    numbers = await subjects.numbers_of(view, grant.holder)
    number = next((pair for pair in numbers if holder_digest(grant.public_id, *pair) == bound), None)
    if number is None:
        raise _no_number()
    face = await subjects.face(view, grant.holder)
    return make_order(
        signer,
        issuer=issuer,
        department=one.row.department,
        jti=one.row.public_id,
        now=seconds(view.now),
        type_code=one.row.type_code,
        verifier=one.row.verifier,
        grant=grant.public_id,
        subject=Subject(*number, face.name if face is not None else None),
        fields=[tuple(path) for path in one.row.fields],
        evidence=Evidence(
            body.salt, body.raw.decode(), str(proof), await approval_of_grant(view, grant=grant.public_id)
        ),
    )


def _no_number() -> Unprocessable:
    return Unprocessable(
        "pull.no_number",
        "不知道按什么号码查找此人，不能当场取证。",
        "Nobody knows by which number to look this person up.",
    )


def not_yet(fault: Exception) -> bool:
    """Whether an order only has to wait for the ledger."""
    return isinstance(fault, Unavailable) and fault.code in ("ledger.not_yet", "ledger.not_published")
