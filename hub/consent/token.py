"""Consent tokens: what a verifier carries after a grant stands. Signed only for grants already committed."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta

from hub.clock import seconds
from hub.consent.model import Grant
from hub.formats.authorization import make_access_token
from hub.ids import public_token
from keys.signer import Signer

LIVES_SECONDS = 300


def sign_token(
    signer: Signer,
    *,
    issuer: str,
    grants: Sequence[Grant],
    jkt: str,
    pairwise_key: bytes,
    now: datetime,
    grant_id: str | None = None,
    jti: str | None = None,
) -> tuple[str, int]:
    """(RFC 9068 token, seconds it lives): bound to the verifier's key, for these grants of one request.

    `grant_id` names them together; `jti` is random unless the caller wants to remember it.

    It never outlives the earliest end of its grants. `sub` is a pairwise pseudonym of the approver for this
    department, so that two departments cannot join what they know by it.
    """
    first = grants[0]
    ends = min([now + timedelta(seconds=LIVES_SECONDS), *[grant.valid_until for grant in grants]])
    subject = hmac.new(pairwise_key, f"{first.department}:{first.approver}".encode(), hashlib.sha256)
    token = make_access_token(
        signer,
        issuer=issuer,
        audience=issuer,
        subject=subject.hexdigest()[:32],
        client_id=first.department,
        jkt=jkt,
        jti=jti or public_token(),
        now=seconds(now),
        expires=seconds(ends),
        scope="verify",
        authorization_details=[grant.detail for grant in grants],
        grants=[grant.public_id for grant in grants],
        grant_id=grant_id,
    )
    return token, seconds(ends) - seconds(now)
