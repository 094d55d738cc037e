"""The planner: gathers the facts about one applicant in one statement, then plans any number of items (`plan`)."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from hub.catalogue.plan import Facts, Filed, Holding, Who
from hub.catalogue.waivers import Standing, standing
from hub.certificates.model import CertificateState, certificate_holders, certificates, status_lists
from hub.ids import bucket_of
from hub.registry.types import CertificateType
from hub.store.tx import View


async def facts(
    view: View,
    *,
    person: UUID,
    types: Mapping[str, CertificateType],
    child: UUID | None = None,
    company: UUID | None = None,
    filed: Mapping[str, Filed] | None = None,
    city: Standing | None = None,
    promises: bool = True,
) -> Facts:
    """What is known of a person, with a child or a company they act for: one statement, whatever they hold.

    `city` spares reading waivers and sources again when several people are planned for at one moment. The caller has
    made sure that the person may act for the child or the company.
    """
    who = (
        {person: "applicant"}
        | ({company: "applicant"} if company else {})
        | ({child: "child"} if child else {})
    )
    rows = await view.all(_best(list(who), view))
    found: dict[Who, Holding] = {}
    for row in rows:
        key = (who[row.subject_id], row.type_code)
        if key not in found or _stands(row) > (found[key].state is CertificateState.CURRENT):
            found[key] = _holding(row, view)
    return Facts(view.now, found, city or await standing(view), types, dict(filed or {}), promises)


async def best_of(view: View, person: UUID) -> dict[str, Holding]:
    """The best certificate of each type that somebody holds, without any content."""
    return {row.type_code: _holding(row, view) for row in await view.all(_best([person], view))}


async def companies_of(view: View, person: UUID) -> list[UUID]:
    """The companies whose current business licence names this person as legal representative, oldest first."""
    mine, theirs = certificate_holders.alias("mine"), certificate_holders.alias("theirs")
    rows = await view.all(
        sa.select(theirs.c.subject_id)
        .join(
            mine,
            sa.and_(
                mine.c.certificate_bucket == theirs.c.certificate_bucket,
                mine.c.certificate_id == theirs.c.certificate_id,
            ),
        )
        .join(
            certificates,
            sa.and_(
                certificates.c.bucket == mine.c.certificate_bucket, certificates.c.id == mine.c.certificate_id
            ),
        )
        .where(
            mine.c.bucket == bucket_of(person),
            mine.c.subject_id == person,
            mine.c.type_code == "business_licence",
            mine.c.role == "legal_representative",
            theirs.c.role == "company",
            certificates.c.state == CertificateState.CURRENT,
        )
        .order_by(theirs.c.certificate_id)
    )
    return list(dict.fromkeys(row.subject_id for row in rows))


def _best(subjects: list[UUID], view: View) -> sa.Select[Any]:
    """For each person and type the best certificate: current before others, not ended before ended, newest first."""
    link, table, list_ = certificate_holders.c, certificates.c, status_lists.c
    ended = sa.case((sa.and_(table.valid_until.is_not(None), table.valid_until <= view.now), 1), else_=0)
    other = sa.case(
        (table.state == CertificateState.CURRENT, 0), (table.state == CertificateState.SUSPENDED, 1), else_=2
    )
    place = sa.func.row_number().over(
        partition_by=(link.subject_id, link.type_code),
        order_by=(other, ended, table.as_of.desc(), table.id.desc()),
    )
    held = (
        sa.select(
            link.subject_id, link.type_code, table.public_id, table.department, table.state, table.valid_until,
            table.as_of, table.registered_at, table.status_uri, place.label("place"),
        )
        .join(certificates, sa.and_(table.bucket == link.certificate_bucket, table.id == link.certificate_id))
        .where(link.bucket.in_([bucket_of(one) for one in subjects]), link.subject_id.in_(subjects))
        .subquery()
    )  # fmt: skip
    return (
        sa.select(held, list_.exp.label("list_until"))
        .outerjoin(status_lists, list_.uri == held.c.status_uri)
        .where(held.c.place == 1)
    )


def _stands(row: Any) -> bool:
    return bool(row.state == CertificateState.CURRENT)


def _holding(row: Any, view: View) -> Holding:
    stands = row.status_uri is None or (row.list_until is not None and row.list_until > view.now)
    return Holding(
        row.type_code, row.public_id, row.department, CertificateState(row.state), row.valid_until, row.as_of,
        row.registered_at, stands,
    )  # fmt: skip
