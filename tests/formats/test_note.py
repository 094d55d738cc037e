"""Signed notes, checkpoints, cosignatures: what is written reads back, and what is touched is refused."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import HubError
from hub.formats import merkle, note
from hub.formats.note import COSIGNATURE, Checkpoint, SignatureLine

LOG = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WITNESS = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
ORIGIN = "yimen.example/ledger"
LOG_KEY = note.make_vkey(ORIGIN, LOG.public_key().public_bytes_raw())
WITNESS_KEY = note.make_vkey("audit.example/w", WITNESS.public_key().public_bytes_raw(), COSIGNATURE)
ROOT = merkle.leaf_hash(b"one")


def signed(size: int = 1) -> note.Note:
    return note.sign_checkpoint(Checkpoint(ORIGIN, size, ROOT), LOG, LOG_KEY)


def code_of(text: str | bytes, *witnesses: note.Vkey) -> str:
    with pytest.raises(HubError) as caught:
        note.verify_checkpoint(note.parse(text), LOG_KEY, witnesses)
    return caught.value.code


def test_the_published_vkey_example() -> None:
    # The example key of golang.org/x/mod/sumdb/note: an independent statement of the key id rule.
    text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    key = note.parse_vkey(text)
    assert (key.name, key.kind, key.key_id.hex()) == ("PeterNeumann", 1, "c74f20a3")
    assert str(key) == text


def test_the_published_note_example_verifies() -> None:
    key = note.parse_vkey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
        "\n"
        "— PeterNeumann "
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert note.verify(note.parse(text), [key])[0][0] == key


@pytest.mark.parametrize(
    "text",
    ["", "a+b", "a+00000000+AQ==", "a b+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
     "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
     "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
     "PeterNeumanm+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
     "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW=",
     "PeterNeumann+c74f20a3+"],
)  # fmt: skip
def test_damaged_vkeys_are_refused(text: str) -> None:
    with pytest.raises(HubError):
        note.parse_vkey(text)


@given(
    st.integers(1, 2**63 - 1), st.binary(min_size=32, max_size=32), st.lists(st.sampled_from(["x", "a b"]))
)
@settings(max_examples=50)
def test_checkpoints_read_back(size: int, root: bytes, extensions: list[str]) -> None:
    checkpoint = Checkpoint(ORIGIN, size, root, tuple(extensions))
    assert note.parse_checkpoint(checkpoint.text) == checkpoint
    written = note.sign_checkpoint(checkpoint, LOG, LOG_KEY)
    assert note.parse(str(written)) == written
    assert note.verify_checkpoint(written, LOG_KEY).checkpoint == checkpoint


def test_a_cosigned_checkpoint_names_its_witnesses() -> None:
    first = signed()
    line = note.cosign(first.text, WITNESS, WITNESS_KEY, 1_700_000_000)
    both = note.parse(str(first.with_signatures([line, line])))
    assert len(both.signatures) == 2
    assert note.verify_checkpoint(both, LOG_KEY, [WITNESS_KEY]).witnessed == {
        "audit.example/w": 1_700_000_000
    }
    assert note.verify_checkpoint(both, LOG_KEY).witnessed == {}


def test_the_cosigned_message_is_the_one_of_the_standard() -> None:
    first = signed()
    line = note.cosign(first.text, WITNESS, WITNESS_KEY, 1_700_000_000)
    assert line.signature[:8] == (1_700_000_000).to_bytes(8, "big")
    message = b"cosignature/v1\ntime 1700000000\n" + first.text.encode()
    WITNESS.public_key().verify(line.signature[8:], message)


@given(st.data())
@settings(max_examples=200)
def test_any_flipped_bit_is_noticed(data: st.DataObject) -> None:
    line = note.cosign(signed().text, WITNESS, WITNESS_KEY, 1_700_000_000)
    whole = bytearray(str(signed().with_signatures([line])).encode())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = note.verify_checkpoint(note.parse(bytes(whole)), LOG_KEY, [WITNESS_KEY])
    except HubError:
        return
    # A line whose name or key id was flipped is an unknown line: the note may stand, without that voucher.
    assert found.checkpoint == note.parse_checkpoint(signed().text)
    assert found.witnessed == {}


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("\n", "\r\n", "note.control"),
        ("ledger\n", "ledger\0\n", "note.control"),
        (ORIGIN + "\n1", "yimen.examp1e/ledger\n1", "checkpoint.origin"),
        (ORIGIN + "\n1\n", ORIGIN + "\n01\n", "checkpoint.size"),
        (ORIGIN + "\n1\n", ORIGIN + "\n+1\n", "checkpoint.size"),
        (ORIGIN + "\n1\n", ORIGIN + "\n١\n", "checkpoint.size"),
        (ORIGIN + "\n1\n", ORIGIN + "\n9223372036854775808\n", "checkpoint.size"),
        (ORIGIN + "\n1\n", ORIGIN + "\n2\n", "note.bad_signature"),
        (ORIGIN + "\n1\n", ORIGIN + "\n0\n", "checkpoint.root"),
        ("— ", "- ", "note.signature_line"),
        ("— ", "—  ", "note.signature_line"),
    ],
)
def test_each_rule_of_the_parser(before: str, after: str, code: str) -> None:
    assert code_of(str(signed()).replace(before, after)) == code


def test_more_rules_of_the_parser() -> None:
    good = str(signed())
    assert code_of(good[:-1]) == "note.shape"
    assert code_of(signed().text) == "note.shape"
    assert code_of(b"\xff" + good.encode()) == "note.encoding"
    assert code_of(good + "x" * note.MAX_NOTE) == "note.too_large"
    assert code_of(good.replace("\n\n", "\n\n\n")) == "checkpoint.shape"
    stranger = note.Note(signed().text, (SignatureLine("someone", b"abcd", b"x" * 64),))
    assert code_of(str(stranger)) == "note.no_known_signature"
    # non-canonical base64: the last character's unused bits set
    coded = good.rsplit(" ", 1)[1].strip()
    loose = coded.rstrip("=")[:-1] + chr(ord(coded.rstrip("=")[-1]) + 1) + "=" * coded.count("=")
    assert base64.b64decode(loose) == base64.b64decode(coded)
    assert code_of(good.replace(coded, loose)) == "note.signature_line"


def test_sixteen_signatures_are_taken_and_a_second_bad_line_of_a_known_key_is_not() -> None:
    strangers = [SignatureLine(f"w{number}", b"abcd", b"x" * 72) for number in range(16)]
    many = signed().with_signatures(strangers)
    assert note.verify_checkpoint(note.parse(str(many)), LOG_KEY).checkpoint.size == 1
    doubled = many.with_signatures([SignatureLine(ORIGIN, LOG_KEY.key_id, bytes(64))])
    assert code_of(str(doubled)) == "note.bad_signature"


def test_only_a_witness_signature_is_not_the_logs() -> None:
    line = note.cosign(signed().text, WITNESS, WITNESS_KEY, 5)
    assert code_of(str(note.Note(signed().text, (line,))), WITNESS_KEY) == "note.no_known_signature"


def test_keys_sign_only_what_they_are_for() -> None:
    with pytest.raises(HubError, match=r"note\.wrong_key"):
        note.sign("text\n", WITNESS, WITNESS_KEY)
    with pytest.raises(HubError, match=r"note\.wrong_key"):
        note.cosign(signed().text, LOG, LOG_KEY, 5)
    with pytest.raises(HubError, match=r"note\.wrong_key"):
        note.sign_checkpoint(Checkpoint(ORIGIN, 1, ROOT), WITNESS, LOG_KEY)
    with pytest.raises(HubError, match=r"cosignature\.time"):
        note.cosign(signed().text, WITNESS, WITNESS_KEY, 0)
    with pytest.raises(HubError, match=r"checkpoint\.origin"):
        note.sign_checkpoint(Checkpoint("other.example/ledger", 1, ROOT), LOG, LOG_KEY)


@given(st.binary(max_size=300) | st.text(max_size=300))
def test_hostile_notes_raise_only_our_errors(data: bytes | str) -> None:
    try:
        parsed = note.parse(data)
    except HubError:
        return
    assert note.parse(str(parsed)) == parsed
