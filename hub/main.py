"""The composition root: settings in, a wired hub and its ASGI application out. The only place that wires."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import structlog
from fastapi import FastAPI

from hub import clock
from hub.cases.scheme import load_schemes
from hub.catalogue.catalogue import load_catalogue
from hub.config import Settings
from hub.errors import HubError
from hub.ledger.cosign import Cosigner, witness_address
from hub.ledger.hold import look_for_hold, mind_hold
from hub.ledger.office import stand
from hub.ledger.sequence import Sequencer
from hub.notices.deliver import Deliverer
from hub.notices.run import keep_telling
from hub.notices.ways import Ways, open_ways
from hub.notices.webhooks import Webhooks, signers
from hub.registry.types import load_types
from hub.store.blobs import Blobs, FileBlobs
from hub.store.seal import Vault
from hub.store.tx import Database
from hub.web.deps import Hub
from hub.web.health import Health
from hub.web.metrics import LEDGER_TROUBLE, notice_ended
from hub.web.workers import Batches
from keys.files import Keyring

log = structlog.get_logger()

KEK = "kek-1"
PEPPER = "pepper-1"


def build(settings: Settings) -> Hub:
    """Open everything that a hub needs; nothing is created that a ceremony should create (`yimen init`)."""
    keyring = Keyring(settings.keyring_dir, settings.passphrase())
    return Hub(
        settings=settings,
        clock=clock.now,
        db=open_database(settings, keyring),
        blobs=open_blobs(settings),
        keyring=keyring,
        types=load_types(),
        items=load_catalogue(),
        schemes=load_schemes(),
        batches=Batches(at_once=settings.batches_at_once, workers=settings.batch_workers),
    )


def open_database(settings: Settings, keyring: Keyring) -> Database:
    """The database with the secrets that seal it; the secrets are made on first use and kept beside the keys."""
    vault = open_vault(keyring)
    return Database(settings.database_url, clock=clock.now, vault=vault, pool_size=settings.database_pool)


def open_vault(keyring: Keyring) -> Vault:
    """The secrets of storage; made on first use and kept beside the keys."""
    return Vault(
        keks={KEK: keyring.secret(KEK)},
        current_kek=KEK,
        peppers={1: keyring.secret(PEPPER)},
        current_pepper=1,
    )


def open_blobs(settings: Settings) -> Blobs:
    """Any S3 server when one is named, else the data folder."""
    if not settings.s3_endpoint:
        return FileBlobs(settings.blobs_dir)
    from hub.store.s3 import S3Blobs, open_s3  # its client takes a tenth of a second to import

    client = open_s3(
        settings.s3_endpoint,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        region=settings.s3_region,
        secure=settings.s3_secure,
    )
    return S3Blobs(client, settings.s3_bucket, region=settings.s3_region)


def sequencer(hub: Hub, http: httpx.AsyncClient) -> Sequencer:
    """A sequencer of this hub's ledger; who may run it is decided by `hub.ledger.office`."""
    witnesses = [witness_address(text) for text in hub.settings.witnesses]
    return Sequencer(
        hub.db,
        hub.blobs,
        origin=hub.settings.origin,
        signer=hub.signer("ledger"),
        cosigner=Cosigner(witnesses, http=http, quorum=hub.settings.witness_quorum) if witnesses else None,
    )


def deliverer(hub: Hub, ways: Ways) -> Deliverer:
    """This process's hand at the outbox; any number of processes have one."""
    return Deliverer(
        hub.db,
        transports=ways.transports,
        events=Webhooks(signers=lambda now: signers(hub.keyring, now), egress=ways.egress),
        brand=hub.settings.brand_name,
        on_end=notice_ended,
    )


def app(hub: Hub, *, revision: str | None = None) -> FastAPI:
    """The ASGI application: all doors, and the sequencer standing for office while it runs.

    `revision` is what the tables must be at before requests are taken; None: whatever they are.
    """
    from hub.web.current import keep_archives, keep_board, keep_current, keep_waivers
    from hub.web.doors import mount  # the doors import FastAPI's whole surface: only a server needs it
    from hub.web.express import Application
    from hub.web.gauges import keep_sampling
    from hub.web.tidy import keep_tidy

    @asynccontextmanager
    async def lifespan(running: FastAPI) -> AsyncIterator[None]:
        health: Health = running.state.health
        stop = asyncio.Event()  # the office is free for another process earlier: at SIGTERM, before the last answer
        await look_for_hold(hub.db, hub.blobs)
        work = [keep_tidy(hub, stop), keep_current(hub, stop), mind_hold(hub.db, hub.blobs, stop)]
        work += [keep_board(hub, stop), keep_archives(hub, stop), keep_waivers(hub, stop)]
        ways = open_ways(hub.settings)
        telling = deliverer(hub, ways)
        work.append(keep_telling(hub.db, types=hub.types, deliverer=telling, stop=stop, on_trouble=_not_told))
        if hub.settings.metrics_port:
            work.append(keep_sampling(hub, health, stop))
        # Only for the witnesses that settings name; no proxy of the environment, no redirect.
        async with httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=5.0) as http:
            work.append(stand(hub.db, lambda: sequencer(hub, http), stop=health.leaving, on_trouble=_tell, every=0.3))
            tasks = [asyncio.create_task(one) for one in work]
            yield
            health.drain()
            stop.set()
            await asyncio.gather(*tasks)
        await ways.http.aclose()
        hub.batches.close()
        await hub.db.close()

    application = Application(
        title="一门 Yimen",
        summary="证照核验与共享 · certificates verified and shared, with consent and an unrewritable record",
        version="0.1.0",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    application.state.hub = hub
    mount(application, hub, revision=revision)
    return application


def _not_told(trouble: HubError) -> None:
    log.warning("notices.trouble", code=trouble.code, detail=trouble.en)


def _tell(trouble: HubError) -> None:
    LEDGER_TROUBLE.labels(trouble.code).inc()
    log.warning("ledger.trouble", code=trouble.code, detail=trouble.en)
