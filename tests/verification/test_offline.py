"""`yimen verify` without a hub: a certificate is good because of its department's key in the ledger, or not at all."""

import base64
import dataclasses
import json
from pathlib import Path

import pytest
from world import World

from hub.actor import SYSTEM
from hub.certificates.model import StatusEvent
from hub.certificates.status import list_token
from hub.formats import jws, sdjwt
from hub.ledger.create import create
from hub.ledger.head import log_key
from hub.ledger.sequence import Sequencer
from hub.ledger.tileset import TileReader
from hub.registry.publish import publish_types
from hub.store.blobs import FileBlobs
from hub.verification.offline import MAX_BUNDLE, Offline, check
from hub.verification.trust import BUNDLE_TYP, trust_bundle
from keys.signer import LocalSigner, generate

ORIGIN = "hub.example/ledger"


@dataclasses.dataclass
class Sealed:
    """A world whose ledger is published, with a bundle cut from it."""

    world: World
    token: str
    certificate: str
    bundle: str
    log: LocalSigner
    lists: list[str]

    @property
    def now(self) -> int:
        return int(self.world.clock().timestamp())

    def check(self, **other: object) -> Offline:
        said = {
            "token": self.token,
            "bundle": self.bundle,
            "log_key": log_key(ORIGIN, self.log),
            "status_lists": self.lists,
            "now": self.now,
            **other,
        }
        return check(said.pop("token"), **said)  # type: ignore[arg-type]


@pytest.fixture
async def sealed(world: World, tmp_path: Path) -> Sealed:
    blobs, log = FileBlobs(tmp_path / "blobs"), generate("EdDSA")
    wang = world.person("王小莞")
    token = await world.sign("degree", [wang.as_holder("owner")], degree_level="master")
    async with world.tx() as tx:
        await create(tx, blobs=blobs, origin=ORIGIN, signer=log)
    for slug in ("dg-degree", "dg-tax"):
        await world.department(slug)
    async with world.tx() as tx:
        await publish_types(tx, world.types.values())
    done = await world.register(token, by="dg-degree")
    return await publish(world, blobs, log, token, done.certificate)


async def publish(world: World, blobs: FileBlobs, log: LocalSigner, token: str, certificate: str) -> Sealed:
    sequencer = Sequencer(world.db, blobs, origin=ORIGIN, signer=log)
    await sequencer.take_office()
    await sequencer.step()
    async with world.db.view(SYSTEM) as view:
        bundle = await trust_bundle(
            view,
            TileReader(blobs),
            issuer="https://hub.example",
            log_key=log_key(ORIGIN, log),
            signer=world.token_key,
            types=world.types,
        )
        reference = sdjwt.status_reference(sdjwt.claims(token))
        assert reference is not None
        lists = [await list_token(view, uri=reference[0])]
    return Sealed(world, token, certificate, bundle, log, lists)


def first_no(found: Offline) -> str:
    return next(one.name for one in found.findings if one.holds is not True)


async def test_a_good_certificate_passes_every_check_with_no_hub(sealed: Sealed) -> None:
    found = sealed.check()
    assert found.ok
    assert found.department == "dg-degree"
    assert found.claims is not None
    assert found.claims["degree_level"] == "master"
    assert [one.name for one in found.findings] == [
        "bundle",
        "issuer_key",
        "right",
        "signature",
        "validity",
        "status",
    ]


async def test_a_ledger_key_that_was_not_pinned_is_said(sealed: Sealed) -> None:
    found = sealed.check(log_key=None)
    assert not found.ok
    assert first_no(found) == "bundle"


async def test_a_bundle_of_another_ledger_is_refused(sealed: Sealed) -> None:
    assert first_no(sealed.check(log_key=log_key(ORIGIN, generate("EdDSA")))) == "bundle"


async def test_a_disclosure_changed_by_one_byte_is_refused(sealed: Sealed) -> None:
    parts = sealed.token.split("~")
    changed = parts[1][:20] + ("A" if parts[1][20] != "A" else "B") + parts[1][21:]
    found = sealed.check(token="~".join((parts[0], changed, *parts[2:])))
    assert first_no(found) == "signature"


async def test_without_a_list_revocation_is_not_called_checked(sealed: Sealed) -> None:
    found = sealed.check(status_lists=[])
    assert not found.ok
    assert first_no(found) == "status"
    assert found.findings[-1].holds is None


async def test_revoked_and_stale_lists(sealed: Sealed) -> None:
    await sealed.world.change(sealed.certificate, StatusEvent.REVOKE, by="dg-degree")
    reference = sdjwt.status_reference(sdjwt.claims(sealed.token))
    assert reference is not None
    async with sealed.world.view() as view:
        revoked = await list_token(view, uri=reference[0])
    assert sealed.check(status_lists=[revoked]).findings[-1].holds is False
    assert sealed.check(now=sealed.now + 8 * 86_400).findings[-1].holds is None


def swapped_key(bundle: str, signer: LocalSigner, kid: str) -> str:
    """What a lying hub could do: put its own key in the bundle under the department's kid."""
    trust = dict(jws.split(bundle, max_bytes=MAX_BUNDLE).payload)
    keys = []
    for told in trust["keys"]:
        event = json.loads(base64.b64decode(told["leaf"]))
        for offered in event.get("keys", []):
            if offered["kid"] == kid:
                offered["jwk"] = signer.public.jwk
        keys.append({**told, "leaf": base64.b64encode(json.dumps(event).encode()).decode()})
    return jws.sign({**trust, "keys": keys}, signer, typ=BUNDLE_TYP)


async def test_a_hub_that_lies_about_a_key_is_caught_by_the_proof(sealed: Sealed) -> None:
    department = await sealed.world.department("dg-degree")
    liar = generate()
    found = sealed.check(bundle=swapped_key(sealed.bundle, liar, department.certificate.kid))
    assert first_no(found) == "issuer_key"


async def test_a_key_outside_the_bundle_signs_nothing(sealed: Sealed) -> None:
    stranger = generate()
    wang = sealed.world.person("赵六")
    token = await sealed.world.sign("degree", [wang.as_holder("owner")], signer=stranger)
    assert first_no(sealed.check(token=token)) == "issuer_key"


async def test_a_department_without_the_right_is_refused(sealed: Sealed) -> None:
    wang = sealed.world.person("赵六")
    token = await sealed.world.sign("degree", [wang.as_holder("owner")], by="dg-tax")
    assert first_no(sealed.check(token=token)) == "right"


@pytest.mark.parametrize("nonsense", ["", "x", "~", "a.b.c~", "{}", "\x00" * 100, "e30.e30.e30~"])
async def test_nonsense_never_raises(sealed: Sealed, nonsense: str) -> None:
    assert not sealed.check(token=nonsense).ok
    assert not sealed.check(bundle=nonsense).ok
