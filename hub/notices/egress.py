"""Calls to addresses that others named: nothing inside the operator's network is reached by them (OWASP API7, SSRF).

1. https, or what the operator allows; no login, no fragment in the address. 2. The name is resolved once; every address
it has must be allowed: globally reachable, or within a network that the operator named. 3. The call goes to that very
address, with the certificate checked against the name: a name that is pointed elsewhere meanwhile changes nothing.
4. No redirect, no proxy of the environment, no connection kept for another name. 5. Little time, and the body of the
answer is never read.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import httpx

from hub.errors import Malformed
from hub.notices.message import SENT, Attempt

SECONDS = 15.0
PATIENCE_AT_MOST = 86_400
URL_MAX = 400
_NAT64 = IPv6Network("64:ff9b::/96")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Egress:
    """Which addresses may be called, and whom TLS trusts. `plain`: http too, to the operator's own networks."""

    networks: Sequence[Network] = ()
    plain: bool = False
    trusted: ssl.SSLContext | None = field(default=None, repr=False)

    def require_url(self, url: str) -> None:
        """Raises Malformed `webhook.url` for an address that could never be called (step 1)."""
        try:
            parts = urlsplit(url)
            port = parts.port
            httpx.URL(url)
        except (ValueError, httpx.InvalidURL):
            raise _bad_url() from None
        schemes = ("https", "http") if self.plain else ("https",)
        plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= URL_MAX
        if not plain or parts.scheme not in schemes or not parts.hostname or port == 0:
            raise _bad_url()
        if parts.username is not None or parts.password is not None or parts.fragment or "\\" in url:
            raise _bad_url()

    def allows(self, found: Address) -> bool:
        """Whether this address may be called."""
        real = _real(found)
        return self._named(real) or (real.is_global and not real.is_multicast)

    def _named(self, real: Address) -> bool:
        return any(real.version == network.version and real in network for network in self.networks)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Attempt:
        """One POST of JSON; sent when the answer is 2xx."""
        try:
            self.require_url(url)
            async with asyncio.timeout(SECONDS):
                return await self._post(url, body, headers)
        except Malformed:
            return Attempt(sent=False, fault="webhook.url")
        except TimeoutError:
            return Attempt(sent=False, fault="webhook.timeout")
        except (httpx.HTTPError, OSError, ssl.SSLError, UnicodeError):
            return Attempt(sent=False, fault="webhook.away")

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Attempt:
        parts = httpx.URL(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        loop = asyncio.get_running_loop()
        answers = await loop.getaddrinfo(parts.host, port, type=socket.SOCK_STREAM)  # 2
        addresses = [ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]
        judge = self.allows if parts.scheme == "https" else self._named
        if not addresses or not all(judge(_real(one)) for one in addresses):
            return Attempt(sent=False, fault="webhook.address")
        pinned = parts.copy_with(host=str(addresses[0]))  # 3
        every = {**headers, "host": parts.netloc.decode("ascii"), "content-type": "application/json"}
        async with (
            httpx.AsyncClient(
                verify=self.trusted or ssl.create_default_context(),
                trust_env=False,  # 4
                follow_redirects=False,
                timeout=SECONDS,
                headers={"user-agent": "yimen-webhook/1"},
            ) as http,
            http.stream(
                "POST", pinned, content=body, headers=every, extensions={"sni_hostname": parts.host}
            ) as answer,
        ):
            return _judged(answer)  # 5


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks in CIDR notation; ValueError for one that is none."""
    return tuple(ip_network(text) for text in texts)


def _judged(answer: httpx.Response) -> Attempt:
    if 200 <= answer.status_code < 300:
        return SENT
    if answer.status_code == 410:
        return Attempt(sent=False, fault="webhook.gone", for_good=True)
    asked = answer.headers.get("retry-after", "")
    after = min(int(asked), PATIENCE_AT_MOST) if asked.isascii() and asked.isdecimal() and len(asked) < 9 else None
    return Attempt(sent=False, fault=f"webhook.status_{answer.status_code}", after=after)


def _real(found: Address) -> Address:
    """The IPv4 address that an IPv6 address only carries: mapped, 6to4, Teredo, NAT64."""
    if isinstance(found, IPv4Address):
        return found
    if found in _NAT64:
        return IPv4Address(found.packed[-4:])
    teredo = found.teredo[1] if found.teredo else None
    return found.ipv4_mapped or found.sixtofour or teredo or found


def _bad_url() -> Malformed:
    return Malformed(
        "webhook.url",
        "地址须为 https，不含登录信息和片段，最多 400 个字符。",
        "The address must be https, without login or fragment, at most 400 characters.",
    )
