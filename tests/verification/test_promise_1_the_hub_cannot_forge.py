"""Promise 1. What a verifier gets is signed by the department; nothing the hub can do makes the hub's word enough."""

import sqlalchemy as sa
from world import World

from hub.access.model import Outcome
from hub.certificates.find import of_holder, open_key
from hub.certificates.model import certificates
from hub.formats import jws, sdjwt
from hub.formats.sdjwt import SD
from hub.store.seal import seal
from hub.verification.model import Ask
from keys.signer import LocalSigner, generate


async def test_the_answer_verifies_with_the_departments_key_alone(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"), degree_level="master")
    case, grants = await world.grant(wang, ["degree"])
    (verdict,) = await world.verify(case, grants, [Ask("degree")])
    assert verdict.outcome is Outcome.ACCEPTED
    department = await world.department("dg-degree")
    now = int(world.clock().timestamp())
    offline = sdjwt.verify(str(verdict.sd_jwt), key=department.certificate.public, now=now)
    assert offline.payload["degree_level"] == "master"


async def replace_body(world: World, person: object, forged: str) -> None:
    """What somebody with the database and every key of the hub could do: put another body in the row."""
    subject = await world.subject(person)  # type: ignore[arg-type]
    async with world.tx() as tx:
        (held,) = await of_holder(tx, subject_id=subject)
        body = seal(await open_key(tx, held), forged.encode(), bound_to=held.certificate.ref.id.bytes)
        await tx.run(sa.update(certificates).values(sealed_body=body))


async def test_a_body_forged_with_every_key_of_the_hub_is_refused(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"), degree_level="bachelor")
    case, grants = await world.grant(wang, ["degree"])
    async with world.view() as view:
        (held,) = await of_holder(view, subject_id=await world.subject(wang))
    department = await world.department("dg-degree")
    for signer in (world.token_key, generate()):
        forged = await forge(world, signer, department.certificate.kid, wang)
        await replace_body(world, wang, forged)
        (verdict,) = await world.verify(case, grants, [Ask("degree")])
        assert verdict.outcome is Outcome.REFUSED
        assert verdict.reason == "signature.invalid"
        assert verdict.sd_jwt is None
        case, grants = await world.grant(wang, ["degree"])
    assert held.certificate.department == "dg-degree"


async def forge(world: World, signer: LocalSigner, kid: str, person: object) -> str:
    token = await world.sign("degree", [person.as_holder("owner")], degree_level="doctor")  # type: ignore[attr-defined]
    claims = {
        name: SD(value) if name == "degree_level" else value for name, value in sdjwt.claims(token).items()
    }
    forged = sdjwt.issue(claims, signer=signer)
    head, payload, _ = forged.partition("~")[0].split(".")
    header = jws.split(forged.partition("~")[0]).header | {"kid": kid}
    resigned = jws.sign_bytes(jws.b64u_decode(payload), signer, header)
    assert head
    return resigned + forged[forged.index("~") :]


async def test_a_predicate_says_that_the_hub_computed_it(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("household_register", (wang, "head"), origin="elsewhere")
    asked = {
        "type": "household_register",
        "path": ["origin"],
        "op": "in",
        "value": ["elsewhere", "hong_kong_macau"],
    }
    case, grants = await world.grant(wang, ["household_register"], predicates=[asked])
    (verdict,) = await world.verify(case, grants, [Ask("household_register")])
    (answer,) = verdict.predicates
    assert answer.answer is True
    assert answer.attested_by == "hub"
