from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from hub.registry.keys import DepartmentKey
from hub.registry.model import KeyPurpose


@given(
    ends=st.tuples(*[st.one_of(st.none(), st.integers(1, 50))] * 3),
    begin=st.integers(0, 50),
    at=st.integers(0, 60),
)
def test_a_key_stands_exactly_between_its_begin_and_its_earliest_end(ends, begin, at):
    base = datetime(2026, 1, 1, tzinfo=UTC)
    moments = [None if e is None else base + timedelta(days=e) for e in ends]
    key = DepartmentKey(
        kid="k",
        department="d",
        purpose=KeyPurpose.CLIENT,
        alg="ES256",
        jwk={},
        not_before=base + timedelta(days=begin),
        not_after=moments[0],
        registered_at=base,
        retired_at=moments[1],
        distrusted_from=moments[2],
        leaf_hash=b"",
    )
    first_end = min([e for e in ends if e is not None], default=10**6)
    assert key.stands_at(base + timedelta(days=at)) == (begin <= at < first_end)
