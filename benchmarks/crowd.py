"""Thousands of people at once, each with a certificate, a case and a standing grant: what the load is spread over.

One person goes through the hub's verbs. The rows of the others are copies of that person's rows, with their own ids,
keys, signed certificate, seals and ledger leaf, written in bulk; whoever measures checks that all of them are accepted.
"""

import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from benchmarks.stage import Person, Stage
from hub.cases.model import cases
from hub.certificates.find import by_public_id, holders_of, open_body
from hub.certificates.model import certificate_holders, certificates
from hub.consent.model import Grant, grants
from hub.formats import packed, sdjwt
from hub.formats.merkle import leaf_hash
from hub.ids import bucket_of, public_token, uuid7
from hub.ledger.model import leaves
from hub.ledger.rest import commitment_leaf
from hub.registry.model import subjects
from hub.store.model import person_keys, public_ids
from hub.store.seal import seal
from hub.store.tx import View

AT_ONCE = 500
ENDLESS = 2_000_000_000
"""Uses that a grant allows: the citizens' caps are not what is measured."""

Rows = dict[sa.Table, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Template:
    """The rows of one person, and the keys of those who hold the certificate with them."""

    subject: Mapping[str, Any]
    person_key: Mapping[str, Any]
    certificate: Mapping[str, Any]
    holders: Sequence[Mapping[str, Any]]
    leaf: Mapping[str, Any]
    case: Mapping[str, Any]
    grant_row: Mapping[str, Any]
    grant: Grant
    claims: Mapping[str, Any]
    others: Mapping[uuid.UUID, bytes]


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed certificate, as far as its row knows it."""

    known_by: bytes
    packed: bytes

    @classmethod
    def of(cls, token: str) -> "Signed":
        """What the row keeps of this SD-JWT."""
        return cls(sdjwt.signing_input_hash(token), packed.pack(token))


@dataclass(frozen=True, slots=True)
class Crowd:
    """The grants of each person, and the rows that all of them were copied from."""

    grants: list[list[Grant]]
    template: Template


async def crowd(
    made: Stage, count: int, type_code: str, roles: Sequence[str], *, fields: Any, claims: Mapping[str, Any]
) -> Crowd:
    """`count` people, each the first holder of a certificate of their own, with a grant over it.

    `roles`: of its holders; all certificates share the holders after the first.
    """
    first, *others = (made.person(f"王{number}") for number in range(len(roles)))
    holders = list(zip((first, *others), roles, strict=True))
    registered = await made.certificate(type_code, *holders, **claims)
    _, (grant,) = await made.grant(first, [type_code], fields={type_code: fields})
    async with made.view() as view:
        template = await _template(made, view, registered.certificate, grant)
    found = []
    for begin in range(0, count, AT_ONCE):
        rows: Rows = {}
        for _ in range(min(AT_ONCE, count - begin)):
            found.append([_add(made, rows, template, made.person("王小明"))])
        async with made.tx() as tx:
            for table, some in rows.items():
                await tx.insert(table, some)
    return Crowd(found, template)


def _add(made: Stage, rows: Rows, like: Template, person: Person) -> Grant:
    """One more person in `rows`."""
    subject, key, at = uuid.uuid4(), secrets.token_bytes(32), made.clock()
    bucket, case_id, request = bucket_of(subject), public_token(), like.grant_row

    def put(table: sa.Table, like: Mapping[str, Any], **own: Any) -> None:
        rows.setdefault(table, []).append({**like, **own})

    put(subjects, like.subject, bucket=bucket, id=subject, sealed_face=None)
    kek = made.vault.current_kek
    wrapped = seal(made.vault.keks[kek], key, bound_to=subject.bytes)
    put(person_keys, like.person_key, bucket=bucket, subject_id=subject, wrapped=wrapped, kek=kek)
    certificate = Signed.of(signed(made, like, person))
    for table, some in sealed_rows(like, certificate, subject, key).items():
        rows.setdefault(table, []).extend(some)
    put(cases, like.case, id=uuid7(), public_id=case_id, applicant=subject)
    detail = {**request["detail"], "case_id": case_id}
    own = {"bucket": bucket, "id": uuid7(), "public_id": public_token()}
    whose = {"holder": subject, "approver": subject, "case_id": case_id, "detail": detail, "max_uses": ENDLESS}
    put(grants, request, **own, **whose, request_id=None, created_at=at)
    rows.setdefault(public_ids, []).append(
        {"token": own["public_id"], "kind": "grant", "bucket": bucket, "row_id": own["id"]}
    )
    return replace(like.grant, **own, **whose)


def signed(made: Stage, like: Template, person: Person) -> str:
    """The template's certificate for another first holder, signed by its department."""
    holders = [{**like.claims["holders"][0], "id_no": person.id_no, "name": person.name}, *like.claims["holders"][1:]]
    claims = {**like.claims, "jti": secrets.token_urlsafe(16), "holders": holders}
    kind = made.types[like.certificate["type_code"]]
    hidden = [("holders", None, name) for name in ("name", "id_type", "id_no", "role")]
    hidden += [(name,) for name in claims if name in kind.schema["properties"]]
    signer = made.departments[like.certificate["department"]].certificate
    return sdjwt.issue(sdjwt.mark(claims, hidden), signer=signer)


def sealed_rows(like: Template, certificate: Signed, subject: uuid.UUID, key: bytes) -> Rows:
    """The rows of a registered certificate, sealed as `hub.certificates.register` seals them."""
    bucket, row_id, body_key = bucket_of(subject), uuid7(), secrets.token_bytes(32)
    public_id, data = public_token(), commitment_leaf(secrets.token_bytes(32))
    row = {
        **like.certificate,
        "bucket": bucket,
        "id": row_id,
        "public_id": public_id,
        "jti": secrets.token_urlsafe(16),
        "signing_input_hash": certificate.known_by,
        "sealed_body": seal(body_key, certificate.packed, bound_to=row_id.bytes),
        "leaf_hash": leaf_hash(data),
    }
    links = []
    for holder in like.holders:
        own = subject if holder["position"] == 0 else holder["subject_id"]
        links.append(
            {
                **holder,
                "bucket": bucket_of(own),
                "subject_id": own,
                "certificate_id": row_id,
                "certificate_bucket": bucket,
                "wrapped_key": seal(
                    key if own == subject else like.others[own], body_key, bound_to=row_id.bytes + own.bytes
                ),
            }
        )
    return {
        certificates: [row],
        certificate_holders: links,
        leaves: [{**like.leaf, "data": data, "leaf_hash": leaf_hash(data)}],
        public_ids: [{"token": public_id, "kind": "certificate", "bucket": bucket, "row_id": row_id}],
    }


async def _template(made: Stage, view: View, certificate: str, grant: Grant) -> Template:
    row = await _one(view, certificates, certificates.c.public_id == certificate)
    links = await view.all(
        sa.select(certificate_holders)
        .where(certificate_holders.c.certificate_id == row["id"])
        .order_by(certificate_holders.c.position)
    )
    subject = links[0].subject_id
    held = await holders_of(view, await by_public_id(view, certificate))
    leaf = await _one(view, leaves, leaves.c.leaf_hash == row["leaf_hash"])
    return Template(
        subject=await _one(view, subjects, subjects.c.id == subject),
        person_key=await _one(view, person_keys, person_keys.c.subject_id == subject),
        certificate=row,
        holders=[dict(link._mapping) for link in links],
        leaf={name: leaf[name] for name in leaf if name not in ("seq", "idx")},
        case=await _one(view, cases, cases.c.public_id == grant.case_id),
        grant_row=await _one(view, grants, grants.c.public_id == grant.public_id),
        grant=grant,
        claims=sdjwt.claims(await open_body(view, held[0])),
        others={link.subject_id: await made.vault.person_key(view, link.subject_id) for link in links[1:]},
    )


async def _one(view: View, table: sa.Table, condition: Any) -> dict[str, Any]:
    row = await view.first(sa.select(table).where(condition))
    assert row is not None, table.name
    return dict(row._mapping)
