"""The ways out that the settings name: mail, text messages, files, webhooks; opened once for a process."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from hub.config import Settings
from hub.notices.egress import Egress, networks
from hub.notices.files import FileOutbox
from hub.notices.gateway import SECONDS, load_gateway
from hub.notices.message import Transport
from hub.notices.model import Channel
from hub.notices.smtp import Smtp

NOBODY = "yimen@localhost"


@dataclass(frozen=True, slots=True)
class Ways:
    """What a process sends by; `http` is closed by whoever opened it."""

    transports: Mapping[Channel, Transport]
    egress: Egress
    http: httpx.AsyncClient


def open_ways(settings: Settings) -> Ways:
    """Open every way. Raises ValueError that names the setting that is wrong, never a secret."""
    trusted = trust(settings.outgoing_ca_file)
    http = httpx.AsyncClient(verify=trusted, trust_env=False, follow_redirects=False, timeout=SECONDS)
    found: dict[Channel, Transport] = {}
    if settings.notice_files_dir is not None:
        files = FileOutbox(settings.notice_files_dir, settings.smtp_from or NOBODY)
        found |= {Channel.EMAIL: files, Channel.SMS: files}
    if settings.smtp_host:
        found[Channel.EMAIL] = Smtp(
            settings.smtp_host, settings.smtp_port, settings.smtp_security, settings.smtp_from, settings.smtp_user,
            _password(settings.smtp_password_file), trusted,
        )  # fmt: skip
    if settings.sms_gateway_file is not None:
        gateway = load_gateway(settings.sms_gateway_file, http)
        if settings.production and urlsplit(gateway.url).scheme != "https":
            raise ValueError("sms_gateway_file: a production hub speaks https with the gateway")
        found[Channel.SMS] = gateway
    egress = Egress(networks(settings.webhook_networks), plain=not settings.production, trusted=trusted)
    return Ways(found, egress, http)


def offered(settings: Settings) -> frozenset[Channel]:
    """The channels that people can be reached by, without opening any."""
    files = settings.notice_files_dir is not None
    return frozenset(
        channel
        for channel, there in (
            (Channel.EMAIL, files or bool(settings.smtp_host)),
            (Channel.SMS, files or settings.sms_gateway_file is not None),
        )
        if there
    )


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """The system's authorities, and those of a file. Raises ValueError when the file holds none."""
    made = ssl.create_default_context()
    if ca_file is not None:
        try:
            made.load_verify_locations(cafile=str(ca_file))
        except (OSError, ssl.SSLError):
            raise ValueError("outgoing_ca_file: cannot be read as PEM") from None
    return made


def _password(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").splitlines()[0].strip()
    except (OSError, UnicodeError, IndexError):
        raise ValueError("smtp_password_file: cannot be read, or is empty") from None
