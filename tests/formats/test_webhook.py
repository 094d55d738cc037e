"""Standard Webhooks 1.0.0, `v1a`: written by us, checked by the letter of the standard, and the other way round."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hub.errors import HubError, Malformed
from hub.formats import webhook
from keys.public import PublicKey
from keys.signer import LocalSigner, generate

NOW = 1_763_860_000
BODY = json.dumps({"type": "webhook.test", "timestamp": "x", "department": "dg-edu", "data": {}}).encode()


@pytest.fixture
def signer() -> LocalSigner:
    return generate("EdDSA")


def test_the_signature_is_what_the_standard_says(signer: LocalSigner) -> None:
    """Checked with nothing of ours but the published key."""
    headers = webhook.sign([signer], message_id="msg_1", timestamp=NOW, payload=BODY)
    raw = base64.b64decode(webhook.write_key(signer.public).removeprefix("whpk_"))
    scheme, _, signature = headers["webhook-signature"].partition(",")
    assert scheme == "v1a"
    content = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), BODY])
    Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(signature), content)


def test_a_call_that_somebody_else_signed_by_the_standard_is_read() -> None:
    theirs = Ed25519PrivateKey.generate()
    signature = base64.b64encode(theirs.sign(b"msg_2." + str(NOW).encode() + b"." + BODY)).decode()
    headers = {
        "webhook-id": "msg_2",
        "webhook-timestamp": str(NOW),
        "webhook-signature": f"v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= v1a,{signature}",
    }
    key = webhook.read_key("whpk_" + base64.b64encode(theirs.public_key().public_bytes_raw()).decode())
    assert webhook.verify(headers, BODY, keys=[key], now=NOW)["type"] == "webhook.test"


def test_old_and_new_key_sign_while_one_follows_the_other(signer: LocalSigner) -> None:
    successor = generate("EdDSA")
    headers = webhook.sign([successor, signer], message_id="msg_1", timestamp=NOW, payload=BODY)
    for known in (signer, successor):
        assert webhook.verify(headers, BODY, keys=[known.public], now=NOW)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"body": BODY + b" "}, "webhook.signature"),
        ({"webhook-id": "msg_2"}, "webhook.signature"),
        ({"webhook-timestamp": str(NOW + 1)}, "webhook.signature"),
        ({"webhook-id": "msg_1.1"}, "webhook.headers"),
        ({"webhook-timestamp": "1e9"}, "webhook.headers"),
        ({"webhook-signature": ""}, "webhook.signature"),
        ({"webhook-signature": "v1a," * 9}, "webhook.signature"),
        ({"webhook-signature": " ".join(["v1a,AA=="] * 9)}, "webhook.headers"),
        ({"now": NOW + 301}, "webhook.time"),
        ({"now": NOW - 301}, "webhook.time"),
        ({"department": "dg-si"}, "webhook.department"),
    ],
)
def test_anything_else_is_refused(signer: LocalSigner, change: dict, code: str) -> None:
    headers = webhook.sign([signer], message_id="msg_1", timestamp=NOW, payload=BODY)
    assert webhook.verify(headers, BODY, keys=[signer.public], now=NOW + 300, department="dg-edu")
    asked = {"now": NOW, "department": "dg-edu", "body": BODY}
    for name, value in change.items():
        (asked if name in asked else headers)[name] = value
    with pytest.raises(HubError) as refused:
        webhook.verify(headers, asked.pop("body"), keys=[signer.public], **asked)
    assert refused.value.code == code


def test_every_flipped_bit_of_a_signature_counts(signer: LocalSigner) -> None:
    headers = webhook.sign([signer], message_id="msg_1", timestamp=NOW, payload=BODY)
    raw = bytearray(base64.b64decode(headers["webhook-signature"].removeprefix("v1a,")))
    for place in range(0, len(raw) * 8, 37):
        flipped = bytearray(raw)
        flipped[place // 8] ^= 1 << place % 8
        headers["webhook-signature"] = "v1a," + base64.b64encode(flipped).decode()
        with pytest.raises(HubError):
            webhook.verify(headers, BODY, keys=[signer.public], now=NOW)


def test_keys_have_one_spelling(signer: LocalSigner) -> None:
    text = webhook.write_key(signer.public)
    assert webhook.read_key(text) == signer.public == PublicKey.from_jwk(signer.public.jwk)
    for wrong in (text[5:], text + "A", "whsk_" + text[5:], "whpk_", "whpk_" + base64.b64encode(bytes(32)).decode()):
        with pytest.raises(Malformed):
            webhook.read_key(wrong)
    with pytest.raises(ValueError, match="full stop"):
        webhook.sign([signer], message_id="a.b", timestamp=NOW, payload=b"")
