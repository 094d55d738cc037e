"""What a process remembers of whom we trust, for as long as nothing changed: the hot path reads one number instead.

The database raises `trust_epoch` in the commit of any change to departments, their keys and their rights
(`model.epoch_triggers`). A request reads the epoch first; what was read under another one is forgotten. What is read
afterwards is at least as new as the epoch, so nothing remembered can outlive a change that a request could know of.
"""

from dataclasses import dataclass, field

import sqlalchemy as sa

from hub.registry import clients, keys
from hub.registry.keys import DepartmentKey
from hub.registry.model import trust_epoch
from hub.store.statement import Statement
from hub.store.tx import View
from keys.public import PublicKey

AT_MOST = 4096
"""More keys than a city's departments ever had; beyond it everything is read anew."""

EPOCH = sa.func.coalesce(sa.select(trust_epoch.c.epoch).scalar_subquery(), -1)
"""The epoch as a column of whatever a transaction asks first."""
ASK = Statement(lambda _: sa.select(EPOCH.label("epoch")))


@dataclass(slots=True)
class Trust:
    """One process's memory of one epoch; get it from `current`."""

    epoch: int
    _clients: dict[tuple[str, str], tuple[DepartmentKey, PublicKey]] = field(default_factory=dict)
    _keys: dict[tuple[str, str], DepartmentKey | None] = field(default_factory=dict)

    async def client_key(self, view: View, *, department: str, kid: str) -> PublicKey:
        """As `clients.client_key`: the key with which an active department authenticates now."""
        found = self._clients.get((department, kid))
        if found is None:
            read = await clients.of_active(view, department=department, kid=kid)
            found = self._clients[department, kid] = read, PublicKey.from_jwk(read.jwk)
        if not found[0].stands_at(view.now):
            raise clients.unknown_client()
        return found[1]

    async def find_key(self, view: View, *, department: str, kid: str) -> DepartmentKey | None:
        """As `keys.find_key`: a department's key with its whole life, retired or not."""
        asked = (department, kid)
        if asked not in self._keys:
            self._keys[asked] = await keys.find_key(view, department=department, kid=kid)
        return self._keys[asked]

    @property
    def full(self) -> bool:
        """Whether it holds more than it should."""
        return len(self._clients) + len(self._keys) > AT_MOST


class _Newest:
    """The memory of the epoch that was read last."""

    def __init__(self) -> None:
        self.trust = Trust(-1)


class _Own:
    """The memory that a view goes by: it asked for the epoch once, and a slow one writes into no newer memory."""

    trust: Trust | None = None


async def current(view: View, *, epoch: int | None = None) -> Trust:
    """This process's memory, a new one when anything changed since it was filled: asked once a transaction.

    `epoch`: as a statement of this transaction has read it already (`EPOCH`). Not for a transaction that changes the
    registry itself: what it read could still be rolled back.
    """
    newest, own = view.memory.of(_Newest), view.own.of(_Own)
    if own.trust is None:
        if epoch is None:
            epoch = (await view.each(ASK, [{}]))[0].epoch
        if epoch != newest.trust.epoch or newest.trust.full:
            newest.trust = Trust(epoch)
        own.trust = newest.trust
    return own.trust
