"""Mail by SMTP (RFC 5321), one connection a message, in a thread: smtplib waits.

TLS is checked against the system's authorities, or those of a file. A message never carries anything but text.
"""

import asyncio
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

from hub.notices.message import SENT, Attempt, Message

SECONDS = 10.0

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class Smtp:
    """One mail server. `user` empty: it takes our mail without a login."""

    host: str
    port: int
    security: Security
    sender: str
    user: str = ""
    password: str = field(default="", repr=False)
    trusted: ssl.SSLContext | None = field(default=None, repr=False)

    async def send(self, message: Message) -> Attempt:
        """Hand one mail over; the server's own queue is answerable from then on."""
        return await asyncio.to_thread(self._send, message)

    def _send(self, message: Message) -> Attempt:
        try:
            with self._connect() as server:
                if self.user:
                    server.login(self.user, self.password)
                server.send_message(compose(message, self.sender), to_addrs=[message.to])
        except smtplib.SMTPRecipientsRefused as refused:
            code = next(iter(refused.recipients.values()))[0]
            return Attempt(sent=False, fault="smtp.recipient", for_good=500 <= code < 600)
        except smtplib.SMTPAuthenticationError:
            return Attempt(sent=False, fault="smtp.login")
        except smtplib.SMTPResponseException as fault:
            return Attempt(sent=False, fault="smtp.refused", for_good=500 <= fault.smtp_code < 600)
        except (smtplib.SMTPException, ssl.SSLError):
            return Attempt(sent=False, fault="smtp.protocol")
        except OSError:
            return Attempt(sent=False, fault="smtp.away")
        return SENT

    def _connect(self) -> smtplib.SMTP:
        trusted = self.trusted or ssl.create_default_context()
        if self.security == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=SECONDS, context=trusted)
        server = smtplib.SMTP(self.host, self.port, timeout=SECONDS)
        try:
            if self.security == "starttls":
                server.starttls(context=trusted)
        except BaseException:
            server.close()
            raise
        return server


def compose(message: Message, sender: str) -> EmailMessage:
    """The mail: plain text, one recipient, marked as made by a machine (RFC 3834), its id that of the message."""
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = message.to
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{message.id}@{sender.rpartition('@')[2].rstrip('>')}>"
    mail["Content-Language"] = message.language
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text + "\n")
    return mail
