"""Register certificates that a department signed: the walk "Register" of DESIGN section 3. One, or a thousand at once.

The hub derives everything from the signed bytes and can sign none of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.certificates import indices
from hub.certificates.content import foreign_type
from hub.certificates.event import REGISTERED, body_of, salted
from hub.certificates.examine import Application, Examined, Source, Supersession, Terms, examine
from hub.certificates.model import (
    CertificateState,
    certificate_holders,
    certificate_jtis,
    certificate_sources,
    certificates,
)
from hub.certificates.supersede import supersede
from hub.errors import Conflict, HubError, Unavailable
from hub.ids import bucket_of
from hub.ledger.append import commit_rested, ref_of
from hub.registry import departments
from hub.registry.holders import Number, People, make_missing, meet, remember_faces
from hub.registry.keys import key_not_standing, keys_at
from hub.registry.model import KeyPurpose
from hub.registry.types import CertificateType
from hub.store.model import public_ids
from hub.store.rows import Taken, add_rows, rows_of
from hub.store.seal import seal
from hub.store.tx import Tx, View, lost_a_race

__all__ = [
    "Application",
    "Examined",
    "Registered",
    "Source",
    "Supersession",
    "Terms",
    "register",
    "register_all",
    "terms_of",
    "together",
]

TRIES = 3

Handed = tuple[Application, Examined | HubError]
"""What was handed in, and what looking at its bytes came to (`examine`)."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What the department gets back; `leaf_hash` is what the receipt is signed over.

    `entry` is (list uri, index) of the certificate that was registered before: a department whose state came back from
    a backup may have signed the row anew since, with another index.
    """

    certificate: str
    state: CertificateState
    leaf_hash: bytes
    at: datetime
    replayed: bool
    entry: tuple[str, int] | None = None


async def register(
    tx: Tx,
    *,
    token: str,
    types: Mapping[str, CertificateType],
    base_url: str,
    source: Source | None = None,
    supersedes: Supersession | None = None,
) -> Registered:
    """Register one SD-JWT VC of the calling department; the same source row again is answered alike.

    Checks, in order: 1. the department is active; 2. strict parse; 3. its certificate key is in force now;
    4. signature and SD-JWT rules; 5. `iss` is this department and `vct` a type that it may issue; 6. claims and
    roles fit the type; 7. identifiers are well formed; 8. `iat` lies on this Shanghai day or in the backlog;
    9. the status index is reserved and unused; 10. holders come from the signed claims alone.
    Raises HubError kinds; nothing is stored unless everything holds.
    """
    terms = await terms_of(tx, base_url=base_url)
    application = Application(token, source, supersedes)
    found = (await register_all(tx, [(application, examine([token], terms, types)[0])]))[0]
    if isinstance(found, HubError):
        raise found
    return found


async def terms_of(view: View, *, base_url: str) -> Terms:
    """What applications of the calling department are examined against now (check 3 needs its keys)."""
    department = view.actor.department or ""
    keys = await keys_at(view, department=department, purpose=KeyPurpose.CERTIFICATE, moment=view.now)
    return Terms(department, base_url, view.now, keys)


def together(handed: Sequence[Handed]) -> int:
    """How many from the front may be registered in one go: no two of them are about the same row, jti or index.

    A supersession goes alone: it changes a list, and the next one builds on that.
    """
    seen: set[Any] = set()
    for count, (application, found) in enumerate(handed):
        if application.supersedes is not None:
            return max(count, 1)
        mine: set[Any] = {application.source[:3]} if application.source else set()
        if isinstance(found, Examined):
            mine |= {found.jti, (found.status_uri, found.status_idx)} - {(None, None)}
        if mine & seen:
            return count
        seen |= mine
    return len(handed)


async def register_all(
    tx: Tx, handed: Sequence[Handed], *, replaced: Mapping[int, UUID] | None = None
) -> list[Registered | HubError]:
    """Register what may go `together`; the refusal of one changes nothing for the others. Leaves keep this order.

    `replaced` says by place which certificates' rows end with new ones in this transaction, through the caller's doing.
    First everything is looked up, then everything is written. When a write shows that somebody was faster with a
    row, a jti or an index, all of it is taken back and looked up again: that answers as if it had come later.
    """
    try:
        if tx.actor.department is None:
            raise foreign_type()
        await departments.require_active(tx, slug=tx.actor.department)  # 1
        for _ in range(TRIES):
            try:
                async with tx.conn.begin_nested():
                    return await _register(tx, tx.actor.department, handed, replaced or {})
            except Taken:
                continue
    except Unavailable:
        raise
    except HubError as refusal:
        return [refusal] * len(handed)
    raise lost_a_race()


async def _register(
    tx: Tx, department: str, handed: Sequence[Handed], ended: Mapping[int, UUID]
) -> list[Registered | HubError]:
    sources = [application.source for application, _ in handed if application.source is not None]
    known = await replays(tx, department, sources)
    answers: list[Registered | HubError | None] = []
    for application, found in handed:
        replay = known.get(application.source[:3]) if application.source else None
        if replay is not None and application.source is not None:
            answers.append(same(replay, application.source))
        else:
            answers.append(found if isinstance(found, HubError) else None)
    fresh = {
        at: found
        for at, (_, found) in enumerate(handed)
        if answers[at] is None and isinstance(found, Examined)
    }
    people = await meet(tx, (number for one in fresh.values() for number in _numbers(one)))
    refused = await _refusals(tx, department, fresh, people)
    # Somebody may have registered these very rows since we asked for them first: that is why they are refused.
    late = [source for at in refused if (source := handed[at][0].source) is not None]
    known = await replays(tx, department, late) if late else {}
    for at, refusal in refused.items():
        source = handed[at][0].source
        replay = known.get(source[:3]) if source else None
        answers[at] = refusal if replay is None or source is None else same(replay, source)
        del fresh[at]
    supersedes = {at: handed[at][0].supersedes for at in fresh}
    replaced = dict(ended) | {
        at: await supersede(tx, fresh[at], supersession)
        for at, supersession in supersedes.items()
        if supersession is not None
    }
    said = [pair for one in fresh.values() for pair in _said(one)]
    await make_missing(tx, people, said)
    if people.refusal(number for number, _ in said):  # refused since we met them: look again
        raise Taken("subjects")
    await remember_faces(tx, people, said)
    done = await _store(
        tx, department, [(handed[at][0].source, fresh[at], replaced.get(at)) for at in fresh], people
    )
    for at, made in zip(fresh, done, strict=True):
        answers[at] = made
    return [answer for answer in answers if answer is not None]


def _numbers(one: Examined) -> list[Number]:
    return [(id_type, id_no) for _, id_type, id_no, _ in one.holders]


def _said(one: Examined) -> list[tuple[Number, str]]:
    return [((id_type, id_no), name) for name, id_type, id_no, _ in one.holders]


def _owner(one: Examined) -> Number:
    """Whose certificate it is first of all: in that person's partition it stands."""
    return one.holders[0].id_type, one.holders[0].id_no


async def replays(
    tx: Tx, department: str, sources: Sequence[Source]
) -> dict[tuple[str, str, int], sa.Row[Any]]:
    """What was registered before for these rows of the department's database, by dataset, ref and generation."""
    columns = certificate_sources.c
    query = (
        sa.select(
            columns.dataset,
            columns.ref,
            columns.generation,
            columns.claims_hash,
            certificates.c.id,
            certificates.c.public_id,
            certificates.c.state,
            certificates.c.leaf_hash,
            certificates.c.registered_at,
            certificates.c.status_uri,
            certificates.c.status_idx,
        )
        .join(
            certificates,
            sa.and_(certificates.c.bucket == columns.bucket, certificates.c.id == columns.certificate_id),
        )
        .where(columns.department == department)
    )
    key = sa.tuple_(columns.dataset, columns.ref, columns.generation)
    rows = await rows_of(tx, query, key, [source[:3] for source in sources])
    return {(row.dataset, row.ref, row.generation): row for row in rows}


def same(row: sa.Row[Any], source: Source) -> Registered | HubError:
    """The answer to a row that was registered before: as then, or why not when it said something else."""
    if row.claims_hash != source.claims_hash:
        return Conflict(
            "certificate.generation_reused",
            "同一来源行的同一代次已登记过不同内容。",
            "This generation of the source row was registered before with other claims.",
            next_zh="内容变化时代次必须加一；请检查适配器状态库。",
            next_en="The generation must grow when the claims change: check the agent's state database.",
        )
    return Registered(
        row.public_id, CertificateState(row.state), row.leaf_hash, row.registered_at, replayed=True,
        entry=(row.status_uri, row.status_idx) if row.status_uri is not None else None,
    )  # fmt: skip


async def _refusals(
    tx: Tx, department: str, fresh: Mapping[int, Examined], people: People
) -> dict[int, HubError]:
    """Why some cannot be registered although their bytes are right; the earliest failed check of each."""
    keys = await keys_at(tx, department=department, purpose=KeyPurpose.CERTIFICATE, moment=tx.now)
    places = {at: _place(one) for at, one in fresh.items()}
    lost = await indices.refusals(tx, {place for place in places.values() if place})
    jtis = certificate_jtis.c
    query = sa.select(jtis.jti).where(jtis.department == department)
    used = {row.jti for row in await rows_of(tx, query, jtis.jti, {one.jti for one in fresh.values()})}
    found: dict[int, HubError] = {}
    for at, one in fresh.items():
        place = places[at]
        refusal: HubError | None = None
        if keys.get(one.kid) is None:  # 3: it stood a moment ago
            refusal = key_not_standing()
        elif place in lost:
            refusal = lost[place]  # 9
        else:
            refusal = people.refusal(_numbers(one))  # 10
            if refusal is None and one.jti in used:
                refusal = _jti_used()
        if refusal is not None:
            found[at] = refusal
    return found


def _place(one: Examined) -> indices.Place | None:
    if one.status_uri is None or one.status_idx is None:
        return None
    return one.status_uri, one.status_idx


def _jti_used() -> Conflict:
    return Conflict(
        "certificate.jti_used",
        "本部门已登记过同一编号（jti）的证照。",
        "This department has already registered a certificate with this jti.",
        next_zh="重发请使用同一来源行和代次；新的内容请换新的 jti 签发。",
        next_en="Resend with the same source and generation; sign new content with a new jti.",
    )


_CERTIFICATE = (
    "bucket", "id", "public_id", "department", "type_code", "type_version", "jti", "kid", "signing_input_hash",
    "iat", "valid_from", "valid_until", "as_of", "status_uri", "status_idx", "state", "state_since", "version",
    "supersedes", "sealed_body", "registered_at", "leaf_hash",
)  # fmt: skip
_HOLDER = (
    "bucket", "subject_id", "certificate_id", "position", "certificate_bucket", "type_code", "role", "wrapped_key",
)  # fmt: skip
_SOURCE = ("department", "dataset", "ref", "generation", "claims_hash", "bucket", "certificate_id")


async def _store(
    tx: Tx, department: str, new: Sequence[tuple[Source | None, Examined, UUID | None]], people: People
) -> list[Registered]:
    """Write all rows, claims first and in the order of their keys; an index, jti or source row is used once."""
    owners = [people.known[_owner(one)] for _, one, _ in new]
    buckets = [bucket_of(owner) for owner in owners]
    jtis = [(department, one.jti, bucket, one.id) for (_, one, _), bucket in zip(new, buckets, strict=True)]
    sources: list[tuple[Any, ...]] = [
        (department, *source, bucket, one.id)
        for (source, one, _), bucket in zip(new, buckets, strict=True)
        if source is not None
    ]
    sources.sort(key=lambda row: row[:4])
    await add_rows(tx, certificate_sources, _SOURCE, sources)
    await add_rows(tx, certificate_jtis, ("department", "jti", "bucket", "certificate_id"), sorted(jtis))
    await indices.take(tx, [place for _, one, _ in new if (place := _place(one))])
    refs = [
        ref_of(salted(people.keys[owner], one.id, _event(tx, department, one), at=tx.now).commit)
        for (_, one, _), owner in zip(new, owners, strict=True)
    ]
    rows = [
        (
            bucket, one.id, one.public_id, department, one.type_code, one.type_version, one.jti, one.kid,
            one.signing_input_hash, one.iat, one.valid_from, one.valid_until, one.as_of, one.status_uri,
            one.status_idx, CertificateState.CURRENT, tx.now, one.version, replaced, one.sealed_body, tx.now,
            ref.leaf_hash,
        )
        for (_, one, replaced), bucket, ref in zip(new, buckets, refs, strict=True)
    ]  # fmt: skip
    ids = [(one.public_id, "certificate", bucket, one.id) for (_, one, _), bucket in zip(new, buckets, strict=True)]
    links = [
        link for (_, one, _), bucket in zip(new, buckets, strict=True) for link in _links(one, bucket, people)
    ]
    await commit_rested(tx, kind=REGISTERED, refs=refs)
    await add_rows(tx, certificates, _CERTIFICATE, rows)
    await add_rows(tx, public_ids, ("token", "kind", "bucket", "row_id"), ids)
    await add_rows(tx, certificate_holders, _HOLDER, links)
    return [
        Registered(one.public_id, CertificateState.CURRENT, ref.leaf_hash, tx.now, replayed=False)
        for (_, one, _), ref in zip(new, refs, strict=True)
    ]


def _event(tx: Tx, department: str, one: Examined) -> dict[str, Any]:
    return body_of(
        department=department, type_code=one.type_code, public_id=one.public_id,
        signing_input_hash=one.signing_input_hash, kid=one.kid, at=tx.now,
    )  # fmt: skip


def _links(one: Examined, bucket: int, people: People) -> list[tuple[Any, ...]]:
    """One row a holder, with the body's key sealed for each."""
    found = []
    for position, (number, _) in enumerate(_said(one)):
        subject_id = people.known[number]
        wrapped = seal(people.keys[subject_id], one.body_key, bound_to=one.id.bytes + subject_id.bytes)
        role = one.holders[position].role
        found.append(
            (bucket_of(subject_id), subject_id, one.id, position, bucket, one.type_code, role, wrapped)
        )
    return found
