"""A hub behind its real doors, and departments that call it as their agents do: tokens, proofs, forms."""

import json
import secrets
from pathlib import Path
from typing import Any

import httpx
from parts import FixedClock
from registry.makers import AUDIENCE
from world import ITEMS, TYPES, TestDepartment, World

from hub.cases.scheme import load_schemes
from hub.clock import seconds
from hub.config import Settings
from hub.formats import authorization, dpop
from hub.ledger.create import create
from hub.ledger.sequence import Sequencer
from hub.store.blobs import FileBlobs
from hub.web.deps import Hub
from hub.web.doors import mount
from hub.web.express import Application
from keys.files import Keyring
from keys.signer import LocalSigner

ASSERTION = authorization.ASSERTION_TYPE


def own_keys(folder: Path) -> Keyring:
    """The hub's own keys, as `yimen init` makes them, valid from the day at which test clocks stand."""
    made = Keyring(folder, "a passphrase for tests")
    for purpose, alg in (("token", "ES256"), ("receipt", "ES256"), ("ledger", "EdDSA")):
        made.create(purpose, alg=alg, not_before=FixedClock()())
    made.secret("pairwise")
    return made


class ApiWorld(World):
    """The world of `world.py`, with HTTP doors in front of it."""

    def __init__(self, database: str, clock: FixedClock, folder: Path, keyring: Keyring) -> None:
        super().__init__(database, clock)
        self.settings = Settings(
            public_url=AUDIENCE,
            data_dir=folder,
            database_url="sqlite:///unused",
            ledger_origin="hub.example/ledger",
        )
        self.blobs = FileBlobs(self.settings.blobs_dir)
        self.keyring = keyring
        self.hub = Hub(
            settings=self.settings,
            clock=clock,
            db=self.db,
            blobs=self.blobs,
            keyring=self.keyring,
            types=TYPES,
            items=ITEMS,
            schemes=load_schemes(),
        )
        self.app = Application()
        self.app.state.hub = self.hub
        mount(self.app, self.hub)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url=AUDIENCE)

    async def begin(self) -> None:
        """Create the empty ledger."""
        async with self.tx() as tx:
            await create(tx, blobs=self.blobs, origin=self.settings.origin, signer=self.hub.signer("ledger"))

    async def publish(self) -> None:
        """Sequence and publish everything that waits."""
        sequencer = Sequencer(
            self.db, self.blobs, origin=self.settings.origin, signer=self.hub.signer("ledger")
        )
        await sequencer.take_office()
        while (await sequencer.step()).added:
            pass

    async def close(self) -> None:
        await self.http.aclose()
        await super().close()

    # --- calling as a department ---

    def proof(
        self, department: TestDepartment, method: str, path: str, token: str | None = None, **other: Any
    ) -> str:
        said = {
            "htm": method,
            "htu": AUDIENCE + path,
            "now": seconds(self.clock()),
            "access_token": token,
            **other,
        }
        return dpop.prove(said.pop("signer", department.client), **said)

    def assertion(self, department: TestDepartment, **other: Any) -> str:
        said = {"client_id": department.slug, "audience": AUDIENCE, "now": seconds(self.clock()), **other}
        return authorization.make_client_assertion(said.pop("signer", department.client), **said)

    async def form(
        self,
        department: TestDepartment,
        path: str,
        *,
        with_proof: bool = False,
        headers: dict[str, str] | None = None,
        **fields: str,
    ) -> httpx.Response:
        """POST a form to an OAuth door, authenticated unless `client_assertion` is given."""
        whole = {
            "client_id": department.slug,
            "client_assertion_type": ASSERTION,
            "client_assertion": fields.pop("client_assertion", None) or self.assertion(department),
            **fields,
        }
        given = headers if headers is not None else {}
        if with_proof and "dpop" not in given:
            given = {**given, "dpop": self.proof(department, "POST", path)}
        return await self.http.post(path, data=whole, headers=given)

    async def own_token(self, department: TestDepartment, scope: str = "issue verify") -> str:
        answer = await self.form(
            department, "/oauth/token", with_proof=True, grant_type="client_credentials", scope=scope
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def call(
        self,
        department: TestDepartment,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        key: str | None = None,
        content: bytes | None = None,
        media_type: str = "application/json",
    ) -> httpx.Response:
        """One call to a department's door, with a fresh token (unless given) and a fresh proof."""
        token = token or await self.own_token(department)
        headers = {"authorization": f"DPoP {token}", "dpop": self.proof(department, method, path, token)}
        if key is not None:
            headers["idempotency-key"] = key
        if body is not None:
            content = json.dumps(body, ensure_ascii=False).encode()
        if content is not None:
            headers["content-type"] = media_type
        return await self.http.request(method, path, content=content, headers=headers)

    async def body_of_certificate(self, type_code: str, *holders: Any, **claims: Any) -> dict[str, Any]:
        """What `POST /v1/certificates` takes, signed by the type's owner."""
        said = [person.as_holder(role) for person, role in holders]
        return {
            "sd_jwt": await self.sign(type_code, said, **claims),
            "source": {
                "dataset": "all",
                "ref": secrets.token_hex(16),
                "generation": 1,
                "claims_hash": secrets.token_hex(32),
            },
            "supersedes": None,
        }

    def stranger(self, department: TestDepartment, signer: LocalSigner) -> TestDepartment:
        """The same department, but with a client key that nobody registered."""
        return TestDepartment(department.slug, department.certificate, department.status, signer)
