"""Promise 4. The item caps what may be asked, the grant caps it further, and only that leaves."""

import pytest
from world import World

from hub.access.model import Outcome
from hub.errors import HubError
from hub.formats import sdjwt
from hub.verification.model import Ask


async def test_an_item_cannot_ask_for_a_type_or_a_claim_that_it_does_not_list(world: World) -> None:
    wang = world.person("王小莞")
    case = await world.case(wang)
    for other in (
        {"datatypes": ["property", "business_licence"], "fields": {"business_licence": [["no_such_claim"]]}},
        {"fields": {"degree": [["no_such_claim"]]}},
        {"purpose": "curiosity"},
        {"max_uses": 1000},
        {"valid_until": int(world.clock().timestamp()) + 400 * 86_400},
        {"predicates": [{"type": "degree", "path": ["degree_level"], "op": "eq", "value": "doctor"}]},
    ):
        with pytest.raises(HubError, match=r"consent\.over_caps"):
            await world.ask("dg-edu", case, [world.detail(case, ["degree"], **other)], of=wang)


async def test_a_claim_that_was_not_granted_never_leaves(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"), degree_level="master")
    only_level = {"degree": [["degree_level"]]}
    case, grants = await world.grant(wang, ["degree"], fields=only_level, max_uses=2)
    (refused,) = await world.verify(case, grants, [Ask("degree", fields=(("degree_level",), ("number",)))])
    assert refused.outcome is Outcome.REFUSED
    assert refused.reason == "coverage.not_granted"
    assert refused.sd_jwt is None
    (verdict,) = await world.verify(case, grants, [Ask("degree")])
    claims = sdjwt.claims(str(verdict.sd_jwt))
    assert claims["degree_level"] == "master"
    assert "number" not in claims
    assert claims["holders"] == [{}]
    assert "王小莞" not in str(verdict)


async def test_a_holder_discloses_their_own_claims_and_not_the_co_owners(world: World) -> None:
    wang, li = world.person("王小莞"), world.person("李䶮")
    await world.certificate("property", (li, "co_owner"), (wang, "owner"))
    case, grants = await world.grant(wang, ["property"])
    (verdict,) = await world.verify(case, grants, [Ask("property")])
    assert verdict.outcome is Outcome.ACCEPTED
    other, own = sdjwt.claims(str(verdict.sd_jwt))["holders"]
    assert own["name"] == "王小莞"
    assert other == {}
    assert li.id_no not in str(verdict)


async def test_another_type_than_granted_is_refused_and_takes_no_use(world: World) -> None:
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    case, grants = await world.grant(wang, ["degree"])
    (refused,) = await world.verify(case, grants, [Ask("marriage")])
    assert refused.reason == "coverage.not_granted"
    (verdict,) = await world.verify(case, grants, [Ask("degree")])
    assert verdict.outcome is Outcome.ACCEPTED
