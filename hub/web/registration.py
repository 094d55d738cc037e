"""What a department hands in to be registered, as JSON; and the looking at it, which other processes can do.

A worker process imports this module and what stands below it: no doors, no database.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field, StringConstraints

from hub.certificates.examine import Application, Source, Supersession, Terms, examine
from hub.certificates.register import Handed
from hub.errors import HubError
from hub.registry.types import CertificateType
from hub.web.body import Body, parse

LINE_BYTES = 512 * 1024

Short = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=64 * 1024)]


class SourceBody(Body):
    """Which source row a certificate was made from; `ref` is a keyed hash, never the row's own key."""

    dataset: Short
    ref: Short
    generation: Annotated[int, Field(ge=0, le=2**31 - 1)]
    claims_hash: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class SupersedesBody(Body):
    """The certificate that is replaced, and the list that says so."""

    certificate_id: Short
    status_list: Token


class NewCertificate(Body):
    """One SD-JWT VC to register. `line` is only for people who read batches."""

    sd_jwt: Annotated[str, StringConstraints(min_length=1, max_length=512 * 1024)]
    source: SourceBody | None = None
    supersedes: SupersedesBody | None = None
    line: int | None = None

    def application(self) -> Application:
        """The same as the verb takes it."""
        source = supersedes = None
        if self.source is not None:
            said = self.source
            source = Source(said.dataset, said.ref, said.generation, bytes.fromhex(said.claims_hash))
        if self.supersedes is not None:
            supersedes = Supersession(self.supersedes.certificate_id, self.supersedes.status_list)
        return Application(self.sd_jwt, source, supersedes)


def examine_lines(
    lines: Sequence[bytes], terms: Terms, types: Mapping[str, CertificateType]
) -> list[Handed | HubError]:
    """Look at some lines of a batch: for each what was handed in and what its bytes come to, or why it is no line.

    The token is left out of what comes back: it is in the row already, packed and sealed.
    """
    found: list[Application | HubError] = []
    for line in lines:
        try:
            found.append(parse(line, NewCertificate, max_bytes=LINE_BYTES).application())
        except HubError as fault:
            found.append(fault)
    examined = iter(examine([one.token for one in found if isinstance(one, Application)], terms, types))
    return [one if isinstance(one, HubError) else (one._replace(token=""), next(examined)) for one in found]
