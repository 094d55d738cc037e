"""A small world to test in: departments with their own keys, people, certificates, cases, grants, one line each.

Everything goes through the real verbs on a real database, with real keys. A department here is what the agent is in
production: it holds its keys and status lists, and the hub never sees them.
"""

import hashlib
import itertools
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from canary import CANARY
from parts import FixedClock
from registry.makers import AUDIENCE, credit, key_proof, resident

from hub.actor import SYSTEM, Actor, ActorKind
from hub.cases.open import Case, open_case
from hub.catalogue.items import ServiceItem, caps, load_items
from hub.certificates import indices, status
from hub.certificates.find import by_public_id
from hub.certificates.model import StatusEvent
from hub.certificates.register import Registered, Source, Supersession, register
from hub.clock import civil_day, day_start, seconds
from hub.consent import approve, request
from hub.consent.model import Grant
from hub.consent.token import sign_token
from hub.formats import sdjwt, statuslist
from hub.formats.authorization import AccessToken, Detail, check_access_token
from hub.registry import departments, keys, subjects
from hub.registry.types import CertificateType, load_types
from hub.store.seal import Vault
from hub.store.tx import Database, Tx, View
from hub.verification.model import Ask, Verdict
from hub.verification.verify import Redemption, verify
from keys.signer import LocalSigner, generate

TYPES = load_types()
ITEMS = load_items()
SCHOOL = "441900-edu-points-enrolment"


@dataclass(frozen=True)
class Person:
    """Somebody with a name and a number that passes its check."""

    name: str
    id_no: str
    id_type: str = "111"

    def as_holder(self, role: str) -> dict[str, str]:
        return {"name": self.name, "id_type": self.id_type, "id_no": self.id_no, "role": role}


@dataclass
class TestDepartment:
    """A department's side: keys, the newest status list, and the indices it may still use."""

    __test__ = False
    slug: str
    certificate: LocalSigner
    status: LocalSigner
    client: LocalSigner
    free: list[tuple[str, int]] = field(default_factory=list)
    lists: dict[str, statuslist.StatusList] = field(default_factory=dict)
    seqs: dict[str, tuple[int, str | None]] = field(default_factory=dict)

    def sign_list(self, uri: str, changes: Mapping[int, int], now: int) -> str:
        """The next version of a list with these entries changed; remembered when `accepted` is called."""
        current = self.lists.setdefault(uri, statuslist.StatusList(2, indices.LIST_SIZE))
        seq, previous = self.seqs.get(uri, (0, None))
        return statuslist.sign_token(
            current.with_changes(changes),
            sub=uri,
            iat=now,
            exp=now + 7 * 86_400,
            ttl=300,
            seq=seq + 1,
            previous=previous,
            signer=self.status,
        )

    def accepted(self, uri: str, token: str) -> None:
        """The hub took the list: it is the base of the next one."""
        self.lists[uri] = statuslist.read_bits(token, max_size=indices.LIST_SIZE)
        self.seqs[uri] = (self.seqs.get(uri, (0, None))[0] + 1, hashlib.sha256(token.encode()).hexdigest())


class World:
    """One hub database and everybody around it."""

    def __init__(self, database: str, clock: FixedClock) -> None:
        self.clock = clock
        self.vault = Vault({"k1": b"k" * 32}, "k1", {1: b"p" * 32}, 1)
        self.db_url = database
        self.db = Database(database, clock=clock, vault=self.vault)
        self.departments: dict[str, TestDepartment] = {}
        self.token_key = generate()
        self.types: dict[str, CertificateType] = dict(TYPES)
        self.items: dict[str, ServiceItem] = dict(ITEMS)
        self._numbers = itertools.count(1)

    async def close(self) -> None:
        await self.db.close()

    @asynccontextmanager
    async def tx(self, actor: Actor = SYSTEM) -> AsyncIterator[Tx]:
        async with self.db.tx(actor) as tx:
            yield tx

    @asynccontextmanager
    async def view(self, actor: Actor = SYSTEM) -> AsyncIterator[View]:
        async with self.db.view(actor) as view:
            yield view

    # --- people and departments ---

    def person(self, name: str, born: str = "19850601") -> Person:
        CANARY.person(name)
        return Person(name, resident(next(self._numbers), born))

    async def department(self, slug: str) -> TestDepartment:
        """The department, added and with its three keys enrolled on first use."""
        if slug not in self.departments:
            made = TestDepartment(slug, generate(), generate(), generate())
            async with self.tx() as tx:
                await departments.add(
                    tx,
                    slug=slug,
                    uscc=credit(100 + len(self.departments)),
                    name_zh=f"部门{slug}",
                    name_en=slug,
                )
                code = await keys.make_enrolment_code(tx, department=slug, made_by="a", approved_by="b")
                code_sha256 = hashlib.sha256(code.encode()).hexdigest()
                offers = [
                    {
                        "purpose": purpose,
                        "jwk": signer.public.jwk,
                        "proof": key_proof(
                            signer, purpose, self.clock, department=slug, code_sha256=code_sha256
                        ),
                    }
                    for purpose, signer in (
                        ("certificate", made.certificate),
                        ("status", made.status),
                        ("client", made.client),
                    )
                ]
                await keys.enrol(tx, department=slug, code=code, offers=offers, audience=AUDIENCE)
            self.departments[slug] = made
        return self.departments[slug]

    def acting(self, department: TestDepartment) -> Actor:
        return Actor(ActorKind.DEPARTMENT, department=department.slug, jkt=department.client.kid)

    async def subject(self, person: Person) -> UUID:
        async with self.tx() as tx:
            kind = "legal" if person.id_type == "001" else "natural"
            return await subjects.resolve(tx, id_type=person.id_type, id_no=person.id_no, kind=kind)

    async def citizen(self, person: Person) -> Actor:
        return Actor(ActorKind.CITIZEN, subject_id=await self.subject(person))

    # --- certificates ---

    async def index(self, department: TestDepartment) -> tuple[str, int]:
        """A reserved status index; the first version of a new list is signed and pushed on the way."""
        if not department.free:
            async with self.tx(self.acting(department)) as tx:
                got = await indices.reserve(tx, count=8, base_url=AUDIENCE)
                for head in got.lists:
                    if head.seq == 0:
                        token = department.sign_list(head.uri, {}, seconds(self.clock()))
                        await status.push(tx, token=token)
                        department.accepted(head.uri, token)
            department.free = list(got.reserved)
        return department.free.pop()

    async def sign(
        self,
        type_code: str,
        holders: list[dict[str, str]],
        *,
        by: str | None = None,
        signer: LocalSigner | None = None,
        header: Mapping[str, Any] | None = None,
        **other: Any,
    ) -> str:
        """An SD-JWT VC as a department's agent makes it; `other` replaces claims or envelope members."""
        kind = self.types[type_code]
        department = await self.department(by or kind.owner)
        uri, idx = await self.index(department)
        today = day_start(civil_day(self.clock()))
        claims: dict[str, Any] = {
            "iss": f"{AUDIENCE}/dept/{department.slug}",
            "vct": kind.vct,
            "jti": secrets.token_urlsafe(16),
            "iat": seconds(today),
            "status": {"status_list": {"uri": uri, "idx": idx}},
            "version": 1,
            **({"as_of": civil_day(self.clock()).isoformat()} if kind.living else {}),
            **example(kind),
            "holders": holders,
            **other,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        hidden = [("holders", None, name) for name in ("name", "id_type", "id_no", "role")]
        hidden += [(name,) for name in claims if name in kind.schema["properties"]]
        return sdjwt.issue(sdjwt.mark(claims, hidden), signer=signer or department.certificate, header=header)

    async def register(
        self,
        token: str,
        *,
        by: str,
        source: Source | None = None,
        supersedes: Supersession | None = None,
    ) -> Registered:
        department = await self.department(by)
        async with self.tx(self.acting(department)) as tx:
            return await register(
                tx, token=token, types=self.types, base_url=AUDIENCE, source=source, supersedes=supersedes
            )

    async def certificate(self, type_code: str, *holders: tuple[Person, str], **claims: Any) -> Registered:
        """Sign and register in one line: `await world.certificate("degree", (wang, "owner"))`."""
        said = [person.as_holder(role) for person, role in holders]
        by = self.types[type_code].owner
        return await self.register(await self.sign(type_code, said, **claims), by=by)

    async def change(self, public_id: str, event: StatusEvent, *, by: str) -> None:
        """Revoke, suspend or reinstate, with the list that says so."""
        department = await self.department(by)
        value = {
            StatusEvent.REVOKE: statuslist.INVALID,
            StatusEvent.SUSPEND: statuslist.SUSPENDED,
            StatusEvent.REINSTATE: statuslist.VALID,
        }[event]
        async with self.tx(self.acting(department)) as tx:
            certificate = await by_public_id(tx, public_id)
            uri, idx = str(certificate.status_uri), int(certificate.status_idx or 0)
            token = department.sign_list(uri, {idx: value}, seconds(self.clock()))
            await status.change(tx, certificate=certificate, event=event, reason="test", token=token)
        department.accepted(uri, token)

    # --- consent ---

    async def case(
        self, applicant: Person, child: Person | None = None, item: str = SCHOOL, by: str | None = None
    ) -> Case:
        applicant_id = await self.subject(applicant)
        child_id = await self.subject(child) if child else None
        citizen = Actor(ActorKind.CITIZEN, subject_id=applicant_id)
        async with self.tx(self.acting(await self.department(by)) if by else citizen) as tx:
            return await open_case(tx, item=self.items[item], applicant=applicant_id, beneficiary=child_id)

    def detail(
        self, case: Case, types: list[str], *, basis: str = "holder", max_uses: int = 1, **other: Any
    ) -> Detail:
        """What a verifier asks: every field that the item allows for these types, unless said otherwise."""
        allowed = caps(self.items[case.item_code])
        said = {
            "type": "certificate_verification",
            "item_code": case.item_code,
            "case_id": case.public_id,
            "purpose": "points-enrolment",
            "basis": basis,
            "datatypes": types,
            "fields": {code: [list(path) for path in sorted(allowed[code], key=repr)] for code in types},
            "valid_until": seconds(self.clock()) + 86_400,
            "max_uses": max_uses,
        }
        return Detail.from_json({**said, **other})

    async def ask(self, verifier: str, case: Case, details: list[Detail], *, of: Person) -> request.Started:
        department = await self.department(verifier)
        async with self.tx(self.acting(department)) as tx:
            return await request.start(
                tx,
                details=details,
                item=self.items[case.item_code],
                case=case.facts(),
                approver=await subjects.find(tx, id_type=of.id_type, id_no=of.id_no),
                binding_message="A1B2",
            )

    async def agree(self, person: Person, public_id: str) -> list[Grant]:
        """Tick everything that is asked and agree."""
        async with self.tx(await self.citizen(person)) as tx:
            shown = await approve.show(tx, public_id=public_id, items=self.items, types=self.types)
            chosen = [
                {ask.type_code: [one.path for one in ask.fields] for ask in part.types}
                for part in shown.parts
            ]
            return await approve.approve(
                tx, public_id=public_id, chosen=chosen, items=self.items, types=self.types
            )

    async def grant(
        self, person: Person, types: list[str], *, verifier: str = "dg-edu", max_uses: int = 1, **other: Any
    ) -> tuple[Case, list[Grant]]:
        """A standing grant over the person's own certificates, from case to approval."""
        case = await self.case(person)
        detail = self.detail(case, types, max_uses=max_uses, **other)
        started = await self.ask(verifier, case, [detail], of=person)
        return case, await self.agree(person, started.public_id)

    def token(self, grants: list[Grant], *, holder: TestDepartment) -> AccessToken:
        """A real consent token for these grants, signed, then checked as the door checks it."""
        text, _ = sign_token(
            self.token_key,
            issuer=AUDIENCE,
            grants=grants,
            jkt=holder.client.kid,
            pairwise_key=b"x" * 32,
            now=self.clock(),
        )
        return check_access_token(
            text, key=self.token_key.public, issuer=AUDIENCE, audience=AUDIENCE, now=seconds(self.clock())
        )

    async def verify(
        self,
        case: Case,
        grants: list[Grant],
        asks: list[Ask],
        *,
        by: str = "dg-edu",
        token: AccessToken | None = None,
        meanwhile: Callable[[list[list[Verdict]]], None] = lambda _: None,
    ) -> list[Verdict]:
        """One redemption by a department."""
        department = await self.department(by)
        token = token or self.token(grants, holder=department)
        async with self.tx(self.acting(department)) as tx:
            redemption = Redemption(token, tuple(asks), case.facts())
            found = await verify(tx, [redemption], items=self.items, types=self.types, meanwhile=meanwhile)
            return found[0]


def example(kind: CertificateType) -> dict[str, Any]:
    """Claims that fit the type's schema: the required ones, each with the simplest value allowed."""
    schema = kind.schema
    return {name: _value(schema["properties"][name]) for name in schema.get("required", [])}


def _value(schema: Mapping[str, Any]) -> Any:
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "integer":
        return max(schema.get("minimum", 0), 0)
    if schema.get("type") == "boolean":
        return True
    if schema.get("type") == "array":
        return [_value(schema["items"])] * schema.get("minItems", 0)
    if schema.get("type") == "object":
        return {name: _value(schema["properties"][name]) for name in schema.get("required", [])}
    pattern = schema.get("pattern", "")
    if schema.get("format") == "date" or "\\d{4}-" in pattern:
        return "2010-09-01"
    if "[0-9]{2}$" in pattern:
        return "12.00"
    return "441900" if "[0-9]{6}" in pattern else "例"
