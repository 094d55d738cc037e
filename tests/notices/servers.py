"""Servers that tests send to: a mail server that nobody here wrote, and an HTTP server that answers as it is told."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from parts import free_port
from walks.screens import x509_for

__all__ = ["Answering", "answering", "mail_server", "tls"]

REFUSED = "nobody@example.cn"
"""The mail server knows of no such person."""


def tls(folder: Path, host: str = "localhost") -> tuple[ssl.SSLContext, Path]:
    """A server's TLS for this host, and the authority that a client must trust."""
    folder.mkdir(exist_ok=True)
    key, pem = x509_for(folder, host)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pem, key)
    return made, pem


class _Mailbox:
    def __init__(self) -> None:
        self.mails: list[tuple[str, bytes]] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address == REFUSED:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append((envelope.rcpt_tos[0], envelope.content))
        return "250 taken"


def _login(server: Any, session: Any, envelope: Any, mechanism: str, auth: Any) -> AuthResult:
    right = isinstance(auth, LoginPassword) and (auth.login, auth.password) == (b"hub", b"right")
    return AuthResult(success=right, handled=False)


@contextmanager
def mail_server(context: ssl.SSLContext) -> Iterator[tuple[int, list[tuple[str, bytes]]]]:
    """aiosmtpd with STARTTLS and a login; gives its port and what it took."""
    box = _Mailbox()
    made = Controller(
        box, hostname="127.0.0.1", port=free_port(), tls_context=context, require_starttls=True,
        authenticator=_login, auth_required=True,
    )  # fmt: skip
    made.start()
    try:
        yield made.port, box.mails
    finally:
        made.stop()


@dataclass
class Answering:
    """An HTTP server. `answer` gives status, headers and body for each request that came in."""

    port: int
    answer: Callable[["Answering"], tuple[int, dict[str, str], bytes]] = lambda _: (200, {}, b"{}")
    came: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, _, body in self.came]


@contextmanager
def answering(context: ssl.SSLContext | None = None) -> Iterator[Answering]:
    """One server on 127.0.0.1, with TLS when it is given a context."""
    made = Answering(0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            made.came.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            status, headers, answer = made.answer(made)
            self.send_response(status)
            for name, value in {"content-length": str(len(answer)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
