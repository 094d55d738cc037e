"""What is remembered of a signature: that it held, for these very bytes under this very key, and never a refusal."""

from dataclasses import replace

import pytest
from parts import spoilt
from world import World

from hub.certificates.opened import Wanted, opened_of_holders
from hub.registry import trust
from hub.registry.keys import DepartmentKey
from hub.store.memory import Memory
from hub.verification import signed as signing
from hub.verification.signed import Signed, signed_all
from keys.public import PublicKey
from keys.signer import generate


async def rested(world: World) -> tuple[bytes, DepartmentKey]:
    """A certificate as it rests, and the key that signed it."""
    wang = world.person("王小莞")
    await world.certificate("degree", (wang, "owner"))
    async with world.view() as view:
        found = (await opened_of_holders(view, [Wanted(await world.subject(wang), "degree")]))[0]
        assert isinstance(found, list)
        certificate = found[0].held.certificate
        key = await (await trust.current(view)).find_key(view, department="dg-degree", kid=certificate.kid)
    assert key is not None
    return found[0].rested, key


def signed(memory: Memory, raw: bytes, key: DepartmentKey) -> Signed | None:
    return signed_all(memory, [(raw, key)])[0]


async def test_a_signature_is_checked_once_and_what_it_covers_is_forgotten_in_a_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, key = await rested(world)
    checked, now = [], [1_000.0]
    really = PublicKey.verify
    monkeypatch.setattr(PublicKey, "verify", lambda *given: checked.append(1) or really(*given))
    monkeypatch.setattr(signing.time, "monotonic", lambda: now[0])
    memory = world.db.memory
    first = signed(memory, raw, key)
    assert first is not None
    assert signed(memory, raw, key) is first
    now[0] += 61
    later = signed(memory, raw, key)
    assert later is not None
    assert later is not first, "what it says was read again out of the bytes"
    assert later.claims == first.claims
    assert len(checked) == 1


async def test_other_bytes_and_other_keys_are_checked_and_a_refusal_is_no_news(world: World) -> None:
    raw, key = await rested(world)
    memory = world.db.memory
    assert signed(memory, raw, key) is not None
    other = replace(key, jwk=generate().public.jwk, kid="another")
    altered = spoilt(raw, 10)  # inside the signature
    for _ in range(2):
        assert signed(memory, raw, other) is None
        assert signed(memory, altered, key) is None
    assert signed(memory, raw, key) is not None
