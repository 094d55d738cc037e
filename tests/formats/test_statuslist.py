"""Status lists: bit order, bounded inflation, and no statement from a list that is wrong or out of date."""

import contextlib
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import HubError, Malformed, TooLarge, Unprocessable
from hub.formats import jws, statuslist
from hub.formats.statuslist import INVALID, SUSPENDED, VALID, StatusList
from keys.signer import generate

KEY = generate()
NOW = 1_790_000_000
URI = "https://hub.example/v1/status-lists/abc"
WEEK = 7 * 86_400


def filled(bits: int, values: list[int]) -> StatusList:
    lst = StatusList(bits, len(values))
    for index, value in enumerate(values):
        lst.set(index, value)
    return lst


# ---------------------------------------------------------------- the array


def test_least_significant_bits_first():
    assert filled(2, [0, 1, 2, 0]).packed() == b"\x24"
    assert filled(2, [1, 2, 2, 0]).packed() == b"\x29"


@pytest.mark.parametrize(
    ("bits", "values", "packed", "lst"),
    [
        (1, [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1], "b9a3", "eNrbuRgAAhcBXQ"),
        (2, [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3], "c944f9", "eNo76fITAAPfAgc"),
    ],
)
def test_examples_of_the_specification(bits, values, packed, lst):
    assert filled(bits, values).packed().hex() == packed
    assert StatusList.decode(lst, bits=bits) == filled(bits, values)
    assert filled(bits, values).encode() == lst


@given(st.sampled_from([1, 2, 4, 8]), st.data())
def test_round_trip(bits, data):
    values = data.draw(
        st.lists(st.integers(0, 2**bits - 1), min_size=8, max_size=64).map(lambda v: v[: len(v) // 8 * 8])
    )
    lst = filled(bits, values)
    again = StatusList.decode(lst.encode(), bits=bits)
    assert [again.get(i) for i in range(again.size)] == values
    assert again == lst


@given(st.dictionaries(st.integers(0, 255), st.integers(0, 3), max_size=20))
def test_with_changes_writes_only_those(changes):
    old = filled(2, [i % 4 for i in range(256)])
    new = old.with_changes(changes)
    assert [new.get(i) for i in range(256)] == [changes.get(i, i % 4) for i in range(256)]
    assert [old.get(i) for i in range(256)] == [i % 4 for i in range(256)]


@pytest.mark.parametrize(("bits", "size"), [(3, 8), (0, 8), (16, 8), (2, 0), (2, -4), (2, 3), (1, 12)])
def test_impossible_shapes(bits, size):
    with pytest.raises(Malformed):
        StatusList(bits, size)


@pytest.mark.parametrize("index", [-1, 16, 2**60])
def test_outside_the_list(index):
    lst = StatusList(2, 16)
    with pytest.raises(IndexError):
        lst.get(index)
    with pytest.raises(IndexError):
        lst.set(index, VALID)


@pytest.mark.parametrize("value", [-1, 4])
def test_values_that_do_not_fit(value):
    with pytest.raises(ValueError, match="width"):
        StatusList(2, 16).set(0, value)


def test_a_fresh_list_is_all_valid_and_small():
    lst = StatusList(2, 1 << 20)
    assert {lst.get(i) for i in (0, 1, 12345, (1 << 20) - 1)} == {VALID}
    assert len(lst.encode()) < 400


# ---------------------------------------------------------------- inflation


def refused(lst: str, kind: type[HubError] = Malformed, bits: int = 2, max_size: int = 1 << 17) -> str:
    with pytest.raises(kind) as fault:
        StatusList.decode(lst, bits=bits, max_size=max_size)
    return fault.value.code


def test_a_bomb_is_not_inflated():
    bomb = jws.b64u_encode(zlib.compress(bytes(200 * 1024 * 1024), 9))
    assert refused(bomb, TooLarge) == "statuslist.too_large"


def test_size_limit_is_exact():
    lst = StatusList(2, 1024).encode()
    assert StatusList.decode(lst, bits=2, max_size=1024).size == 1024
    assert refused(lst, TooLarge, max_size=1020) == "statuslist.too_large"


def test_cut_short_and_continued():
    raw = zlib.compress(bytes(1000), 9)
    assert refused(jws.b64u_encode(raw[:-1])) == "statuslist.compression"
    assert refused(jws.b64u_encode(raw + b"x")) == "statuslist.compression"
    assert refused(jws.b64u_encode(raw + raw)) == "statuslist.compression"
    assert refused(jws.b64u_encode(raw[:-4] + b"\0\0\0\0")) == "statuslist.compression"
    assert refused(jws.b64u_encode(zlib.compress(b""))) == "statuslist.compression"
    assert refused("") == "statuslist.compression"
    assert refused("AAAA") == "statuslist.compression"


def test_raw_deflate_and_gzip_are_other_formats():
    for wbits in (-15, 31):
        packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
        assert (
            refused(jws.b64u_encode(packer.compress(bytes(100)) + packer.flush())) == "statuslist.compression"
        )


def test_base64_is_strict():
    assert refused(StatusList(2, 1024).encode() + "=") == "base64url.not_canonical"


@pytest.mark.parametrize("bits", [0, 3, 16, True, "2", None])
def test_bits(bits):
    assert refused(StatusList(2, 1024).encode(), bits=bits) == "statuslist.shape"


@given(st.binary(max_size=60))
def test_any_bytes_are_a_list_or_a_hub_error(data):
    for lst in (jws.b64u_encode(data), jws.b64u_encode(zlib.compress(data))):
        with contextlib.suppress(Malformed, TooLarge):
            assert StatusList.decode(lst, bits=2, max_size=4096).size == len(data) * 4


# ---------------------------------------------------------------- the token


def token(lst: StatusList | None = None, **changes) -> str:
    options = {
        "sub": URI, "iat": NOW, "exp": NOW + WEEK, "ttl": 300, "seq": 1, "previous": None, "signer": KEY,
    } | changes  # fmt: skip
    return statuslist.sign_token(lst or StatusList(2, 1 << 10), **options)


def verify(text: str, **changes) -> statuslist.StatusToken:
    options = {"key": KEY.public, "expected_sub": URI, "now": NOW, "max_size": 1 << 17} | changes
    return statuslist.verify_token(text, **options)


def code(text: str, kind: type[HubError] = Malformed, **changes) -> str:
    with pytest.raises(kind) as fault:
        verify(text, **changes)
    return fault.value.code


def resigned(*, typ: str = statuslist.TYP, **changes) -> str:
    payload = jws.split(token()).payload | changes
    return jws.sign({k: v for k, v in payload.items() if v is not ...}, KEY, typ=typ)


def test_token_round_trip():
    lst = filled(2, [VALID, INVALID, SUSPENDED, VALID] * 4)
    first = token(lst)
    found = verify(first)
    assert (found.sub, found.iat, found.exp, found.ttl, found.seq, found.previous, found.bits) == (
        URI, NOW, NOW + WEEK, 300, 1, None, 2,
    )  # fmt: skip
    assert found.lst == lst
    assert found.sha256 == hashlib.sha256(first.encode()).hexdigest()
    second = verify(
        token(lst.with_changes({3: INVALID}), seq=2, previous=found.sha256, iat=NOW + 1), now=NOW + 1
    )
    assert second.previous == found.sha256
    assert second.lst.get(3) == INVALID
    assert statuslist.read_bits(first, max_size=1 << 10) == lst


def test_a_list_that_does_not_compress_fits():
    import random

    size = 1 << 17
    noise = random.Random(5).randbytes(size // 4)
    lst = StatusList.decode(jws.b64u_encode(zlib.compress(noise)), bits=2, max_size=size)
    text = token(lst)
    assert verify(text, max_size=size).lst == lst
    assert len(text) < jws.MAX_JWS_BYTES  # so that any door can split it with the usual limit
    assert statuslist.read_bits(text, max_size=size) == lst


@pytest.mark.parametrize("now", [NOW + WEEK + 30, NOW + 10 * WEEK])
def test_stale_is_no_statement(now):
    assert code(token(), Unprocessable, now=now) == "jwt.expired"


def test_before_its_time():
    assert code(token(), Unprocessable, now=NOW - 31) == "jwt.issued_in_future"


def test_a_list_of_the_past_is_judged_at_that_moment():
    assert verify(token(), now=NOW, skew=0)
    assert code(token(), Unprocessable, now=NOW - 1, skew=0) == "jwt.issued_in_future"
    assert code(token(), Unprocessable, now=NOW + WEEK, skew=0) == "jwt.expired"


def test_another_list():
    assert code(token(sub=URI + "x")) == "statuslist.sub"
    assert code(token(), expected_sub=URI.upper()) == "statuslist.sub"


def test_another_signer():
    assert code(token(signer=generate()), key=lambda kid: KEY.public) == "jws.signature"
    assert code(token(), key={}.__getitem__, kind=Unprocessable) == "key.unknown"


@pytest.mark.parametrize("typ", ["JWT", "dc+sd-jwt", "statuslist+cwt", "application/statuslist+jwt"])
def test_another_type(typ):
    assert code(resigned(typ=typ)) == "jws.typ"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"sub": ...}, "statuslist.sub"),
        ({"sub": ""}, "statuslist.sub"),
        ({"sub": 5}, "statuslist.sub"),
        ({"iat": ...}, "statuslist.times"),
        ({"exp": ...}, "statuslist.times"),
        ({"exp": NOW}, "statuslist.times"),
        ({"exp": NOW - 1}, "statuslist.times"),
        ({"exp": NOW + 2 * 366 * 86_400}, "statuslist.times"),
        ({"exp": "later"}, "jwt.time"),
        ({"iat": True}, "jwt.time"),
        ({"ttl": ...}, "statuslist.ttl"),
        ({"ttl": 0}, "statuslist.ttl"),
        ({"ttl": -5}, "statuslist.ttl"),
        ({"ttl": 1.5}, "statuslist.ttl"),
        ({"ttl": True}, "statuslist.ttl"),
        ({"ttl": 10**9}, "statuslist.ttl"),
        ({"seq": ...}, "statuslist.seq"),
        ({"seq": 0}, "statuslist.seq"),
        ({"seq": True}, "statuslist.seq"),
        ({"seq": "1"}, "statuslist.seq"),
        ({"previous": ...}, "statuslist.previous"),
        ({"previous": "a" * 64}, "statuslist.previous"),
        ({"seq": 2}, "statuslist.previous"),
        ({"seq": 2, "previous": "A" * 64}, "statuslist.previous"),
        ({"seq": 2, "previous": "a" * 63}, "statuslist.previous"),
        ({"status_list": ...}, "statuslist.shape"),
        ({"status_list": []}, "statuslist.shape"),
        ({"status_list": {"bits": 2}}, "statuslist.shape"),
        ({"status_list": {"lst": "AA"}}, "statuslist.shape"),
        ({"status_list": {"bits": 2, "lst": 5}}, "statuslist.shape"),
        ({"status_list": {"bits": 2, "lst": "AA"}}, "statuslist.compression"),
    ],
    ids=str,
)
def test_claims(changes, wanted):
    assert code(resigned(**changes)) == wanted


@pytest.mark.parametrize(
    "changes", [{"exp": NOW}, {"ttl": 0}, {"seq": 0}, {"seq": 2}, {"previous": "a" * 64}, {"sub": ""}]
)
def test_what_nobody_could_verify_is_not_signed(changes):
    with pytest.raises(Malformed):
        token(**changes)


def test_too_large():
    text = token(StatusList(2, 1 << 12))
    assert verify(text, max_size=1 << 12)
    assert code(text, TooLarge, max_size=1 << 11) == "statuslist.too_large"


TOKEN = token(StatusList(2, 64))


@given(st.integers(0, len(TOKEN) - 1), st.integers(1, 127))
def test_any_changed_character_fails(position, flip):
    bad = TOKEN[:position] + chr(ord(TOKEN[position]) ^ flip) + TOKEN[position + 1 :]
    with pytest.raises(HubError):
        verify(bad, key=lambda kid: {KEY.kid: KEY.public}[kid])


@given(data=st.data(), bits=st.sampled_from([1, 2, 4, 8]))
def test_differences_are_found_one_by_one_and_all_at_once(data, bits):
    values = st.dictionaries(st.integers(0, 63), st.integers(0, 2**bits - 1), max_size=12)
    old = StatusList(bits, 64).with_changes(data.draw(values))
    new = old.with_changes(data.draw(values))
    assert old.differing(new) == [index for index in range(64) if old.get(index) != new.get(index)]
    lost = [index for index in range(64) if old.get(index) == INVALID != new.get(index)]
    assert old.keeps_invalid(new) == (not lost)
    assert not old.keeps_invalid(StatusList(bits, 128))


def test_a_long_list_with_many_entries_set_is_pressed_in_a_moment():
    lst = StatusList(2, 1 << 17).with_changes({index * 49: INVALID for index in range((1 << 17) // 49)})
    again = StatusList.decode(lst.encode(), bits=2)
    assert again.packed() == lst.packed()
    assert len(lst.encode()) < 8000
