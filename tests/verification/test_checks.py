"""Each numbered check has a certificate that fails it, and the verdict names it."""

import pytest
from registry.makers import AUDIENCE, key_proof, rotation_proof
from world import World

from hub.access.model import Outcome
from hub.certificates.model import StatusEvent
from hub.clock import civil_day
from hub.errors import HubError
from hub.ledger.model import leaves
from hub.registry import keys
from hub.verification.model import STEP_WORDS, STEPS, Ask, CheckResult, Step, Verdict
from keys.signer import generate


async def look(world: World, person: object, type_code: str = "degree", case: object = None) -> Verdict:
    made, grants = await world.grant(person, [type_code])  # type: ignore[arg-type]
    verdicts = await world.verify(case or made, grants, [Ask(type_code)])  # type: ignore[arg-type]
    return verdicts[0]


async def sequenced(world: World) -> None:
    """As if the sequencer had run: what is asked here is not how indices are given."""
    async with world.tx() as tx:
        await tx.run(leaves.update().values(idx=leaves.c.seq))


async def test_all_ten_checks_are_named_in_order(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    verdict = await look(world, wang)
    assert [check.step for check in verdict.checks] == list(STEPS)
    assert {check.result for check in verdict.checks} == {CheckResult.PASSED}
    assert [check.number for check in verdict.checks] == list(range(1, 11))


async def test_a_revoked_degree_is_refused_and_shows_nothing(world: World) -> None:
    wang = world.person("王小莞")
    done = await world.certificate("degree", (wang, "owner"))
    await world.change(done.certificate, StatusEvent.REVOKE, by="dg-degree")
    verdict = await look(world, wang)
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, "status.revoked")
    assert verdict.claims is None


async def test_a_stale_list_is_undecided_not_refused(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    await sequenced(world)
    world.clock.advance(days=8)
    verdict = await look(world, wang)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNDECIDED, "status.stale")


async def test_living_data_that_is_too_old_is_undecided(world: World) -> None:
    wang = world.person("王小莞")
    old = civil_day(world.clock()).replace(year=2025).isoformat()
    await world.certificate("social_insurance", (wang, "insured"), as_of=old)
    verdict = await look(world, wang, "social_insurance")
    assert (verdict.outcome, verdict.reason) == (Outcome.UNDECIDED, "validity.outdated")


async def test_an_expired_certificate_is_refused(world: World) -> None:
    wang = world.person("王小莞")
    soon = int(world.clock().timestamp()) + 3600
    await world.certificate("degree", (wang, "owner"), exp=soon)
    await sequenced(world)
    world.clock.advance(hours=2)
    verdict = await look(world, wang)
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, "validity.expired")


async def test_a_key_that_is_distrusted_from_before_registration_spoils_what_it_signed(world: World) -> None:
    wang = world.person("王小莞")
    department = await world.department("dg-degree")
    await world.certificate("degree", (wang, "owner"))
    async with world.tx() as tx:
        await keys.distrust(tx, kid=department.certificate.kid, from_=world.clock())
    verdict = await look(world, wang)
    assert (verdict.outcome, verdict.reason) == (Outcome.REFUSED, "issuer_key.distrusted")


async def test_a_retired_key_still_verifies_what_it_signed_before(world: World) -> None:
    wang = world.person("王小莞")
    department = await world.department("dg-degree")
    await world.certificate("degree", (wang, "owner"))
    old, new = department.certificate, generate()
    world.clock.advance(seconds=5)
    async with world.tx() as tx:
        await keys.rotate(
            tx,
            department="dg-degree",
            purpose="certificate",
            jwk=new.public.jwk,
            proof=key_proof(new, "certificate", world.clock, department="dg-degree"),
            previous_proof=rotation_proof(old, "certificate", new.kid, world.clock, department="dg-degree"),
            audience=AUDIENCE,
        )
        await keys.retire(tx, department="dg-degree", kid=old.kid)
    assert (await look(world, wang)).outcome is Outcome.ACCEPTED


async def test_a_closed_case_or_another_ones_case_is_refused(world: World) -> None:
    wang, li = world.person("王小莞"), world.person("李䶮")
    await world.certificate("degree", (wang, "owner"))
    others = await world.case(li)
    verdict = await look(world, wang, case=others)
    assert verdict.reason == "holder.not_the_applicant"


async def test_a_registration_that_never_reached_the_ledger_is_undecided(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    world.clock.advance(minutes=1)
    verdict = await look(world, wang)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNDECIDED, "ledger.not_sequenced")


async def test_a_ledger_that_stands_still_for_hours_stops_new_disclosures(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    world.clock.advance(hours=5)
    # nothing was sequenced meanwhile
    with pytest.raises(HubError, match=r"ledger\.stalled"):
        await look(world, wang)


async def test_two_properties_are_two_verdicts_under_one_use(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("property", (wang, "owner"))
    await world.certificate("property", (wang, "owner"))
    case, grants = await world.grant(wang, ["property"])
    verdicts = await world.verify(case, grants, [Ask("property")])
    assert [verdict.outcome for verdict in verdicts] == [Outcome.ACCEPTED] * 2
    assert len({verdict.access for verdict in verdicts}) == 2


async def test_one_losing_ask_does_not_spoil_the_others(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    case, grants = await world.grant(wang, ["degree"])
    verdicts = await world.verify(case, grants, [Ask("degree"), Ask("marriage")])
    assert [verdict.outcome for verdict in verdicts] == [Outcome.ACCEPTED, Outcome.REFUSED]


async def test_every_step_has_words_for_people() -> None:
    assert set(STEP_WORDS) == set(Step)
