"""The agent of one department: its configuration, keys and state brought together, and the verbs it offers.

`Agent` is the Python side; `yimen-agent` (module `command`) is the same for a shell.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx

from adapters import breaker, deciding, drift, mending
from adapters import config as configuration
from adapters import doctor as doctoring
from adapters import orders as ordering
from adapters import preview as previewing
from adapters import quarantine as quarantining
from adapters import survey as surveying
from adapters import sync as syncing
from adapters.client import ATTEMPTS, HubClient
from adapters.deciding import Decision
from adapters.desk import Desk
from adapters.enrolment import PURPOSES, Enrolment
from adapters.mapping import columns_of
from adapters.mending import Mended
from adapters.model import Check, Config, Dataset
from adapters.orders import OrderReport
from adapters.preview import PreviewRow
from adapters.quarantine import Held
from adapters.sign import ref_of
from adapters.sources import open_source
from adapters.state import Entry, State
from adapters.statusbook import StatusBook
from adapters.survey import Survey
from adapters.sync import SyncReport
from hub.clock import Clock, now, seconds
from hub.errors import HubError, NotFound
from hub.formats.masking import mask_number
from keys.errors import KeyFault
from keys.files import Keyring
from keys.public import PublicKey
from keys.signer import Signer

if TYPE_CHECKING:
    from adapters.faces import FaceReport
    from adapters.line import Line, Told

REF_SECRET = "ref"
ALARM = timedelta(hours=48)


@dataclass(frozen=True, slots=True)
class DatasetStatus:
    """How one dataset stands: certificates, rows in quarantine, open holds, the last complete pass (rows)."""

    dataset: str
    current: int
    quarantined: int
    held: int
    last_complete_rows: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """How the agent stands. `lists` are (uri, version, hours left); `waiting` is what the hub has not acked."""

    datasets: tuple[DatasetStatus, ...]
    waiting: int
    free_indices: int
    lists: tuple[tuple[str, int, int], ...]


class Agent:
    """One department's agent. Use `load`, and `close` when done (or `with`)."""

    def __init__(
        self, config: Config, keyring: Keyring, state: State, client: HubClient, clock: Clock
    ) -> None:
        self.config = config
        self.poll: HubClient | None = None
        """For the line: it asks again by itself, so this client does not."""
        self.keyring = keyring
        self.state = state
        self._client = client
        self._clock = clock

        def signer(purpose: str) -> Signer:
            return keyring.active(purpose, clock())

        self._enrolment = Enrolment(config.agent, keyring, state, client, clock)

        def book_of(state: State) -> StatusBook:
            return StatusBook(state, client, lambda: signer("status"), self._own_status_key, clock)

        self._book_of = book_of
        book = book_of(state)
        self.desk = Desk(
            config.agent,
            state,
            client,
            book,
            lambda: signer("certificate"),
            keyring.secret(REF_SECRET),
            clock,
        )

    @classmethod
    def load(
        cls,
        config_path: str | Path,
        *,
        passphrase: str | bytes,
        transport: httpx.BaseTransport | None = None,
        clock: Clock = now,
    ) -> Self:
        """Read the configuration, open keys and state. Raises ConfigFault, KeyFault."""
        config = configuration.load(config_path)
        keyring = Keyring(config.agent.keys, passphrase)

        def client_key() -> Signer:
            return keyring.active("client", clock())

        def client_of(attempts: int) -> HubClient:
            return HubClient(
                config.agent.hub, config.agent.department, client_key, transport=transport, clock=clock,
                attempts=attempts,
            )  # fmt: skip

        client = client_of(ATTEMPTS)
        made = cls(config, keyring, State(config.agent.state, faces=config.agent.faces), client, clock)
        made.poll = client_of(1)
        return made

    def close(self) -> None:
        """Close the state file and connections."""
        self._client.close()
        if self.poll is not None:
            self.poll.close()
        self.state.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the first day ---

    def init(self) -> list[str]:
        """Make the keys that are missing, one for each purpose. Gives the ids of all keys in force."""
        return self._enrolment.make_missing()

    def enrol(self, code: str) -> list[str]:
        """Bring the first keys to the hub with a one-time code. Gives the key ids that the hub admitted."""
        return self._enrolment.enrol(code)

    def rotate(self, purpose: str) -> str:
        """Replace the key of one purpose (certificate, status, client). Gives the new key's id."""
        return self._enrolment.rotate(purpose)

    def check(self) -> list[Check]:
        """Look at everything a sync needs: keys, hub, types, sources, columns, lists. Changes nothing."""
        found = [self._check_key(purpose) for purpose in PURPOSES]
        for dataset in self.config.datasets:
            found.append(self._check_type(dataset))
            found.append(self._check_source(dataset))
        present = seconds(self._clock())
        for known in self.state.lists():
            left = (known.expires - present) // 3600
            found.append(
                Check(
                    "status_list", left >= ALARM.total_seconds() // 3600,
                    f"状态列表第 {known.seq} 版还有 {left} 小时到期。",
                    f"Status list version {known.seq} ends in {left} hours.",
                )
            )  # fmt: skip
        return found

    def doctor(self) -> list[Check]:
        """`check`, and everything around it: files, clock, hub, disk, what waits. Changes nothing."""
        return doctoring.examine(self)

    # --- every day ---

    def preview(self, rows: int = 5, *, dataset: str | None = None) -> list[PreviewRow]:
        """The first rows of each dataset as they would be signed, masked."""
        scratch = self.config.agent.state.parent
        return [
            row
            for one in self._datasets(dataset)
            for row in previewing.preview(self.desk, one, rows, scratch)
        ]

    def sync(self, *, dataset: str | None = None, whole: bool = False) -> SyncReport:
        """Bring the hub up to date; see `adapters.sync`."""
        return syncing.sync(self.desk, self._datasets(dataset), whole=whole)

    def survey(self, *, dataset: str | None = None) -> list[Survey]:
        """What a whole sync would do, in counts: nothing is signed, written or sent."""
        synced = (one for one in self._datasets(dataset) if not (one.lookup and one.lookup.only))
        return [surveying.survey(self.desk, one) for one in synced]

    def export(self, dataset: str, path: Path) -> int:
        """Write the quarantined rows of a dataset to a workbook; see `adapters.mending`."""
        [one] = self._datasets(dataset)
        return mending.export(self.desk, one, path)

    def mend(self, dataset: str, path: Path, *, officer: str) -> Mended:
        """Take in a workbook that staff mended; see `adapters.mending`."""
        [one] = self._datasets(dataset)
        with self.state.alone():
            return mending.feed(self.desk, one, path, officer=officer)

    def work_orders(self) -> list[OrderReport]:
        """Sign the files that officers handed in at the hub; see `adapters.orders`."""
        return ordering.work_orders(self.desk, self.config)

    def line(self, told: "Told" = lambda _: None, *, wait: int | None = None) -> "Line":
        """The line for pull orders, to be held while the agent serves; does nothing without a dataset to look up in."""
        from adapters.line import WAIT_SECONDS, Line  # passkey libraries are needed by no other command

        return Line(
            self.desk, self.config.datasets, poll=self.poll or self._client, book_of=self._book_of, told=told,
            wait=WAIT_SECONDS if wait is None else wait,
        )  # fmt: skip

    def faces(self, *, certificates: Sequence[str] | None = None, limit: int | None = None) -> "FaceReport":
        """Render and hand in the printed faces that wait; see `adapters.faces`."""
        from adapters import faces as printing  # PDF libraries take half a second, and only faces need them

        return printing.make_faces(self.desk, self.config, certificates=certificates, limit=limit)

    def revoke(self, dataset: str, key: str, reason: str) -> str:
        """Revoke the certificate of one source key (or ref) now. Gives the certificate id.

        Raises NotFound `agent.no_certificate`.
        """
        entry = self._entry(dataset, key)
        syncing.revoke(self.desk, entry, reason)
        return entry.certificate_id

    def decide(self, held_id: int, officer: str, *, discard: bool = False) -> Decision | None:
        """A named official lets a held pass through, or throws it away; see `adapters.deciding`."""
        return deciding.decide(self.desk, self.config, held_id, officer, discard=discard)

    def decided(self) -> list[Decision]:
        """What officials have decided so far, newest first."""
        return deciding.decided(self.desk)

    def examples(self, hold: Held, limit: int = 5) -> list[str]:
        """Some keys that a held mass revocation is about, masked; empty for other holds."""
        if hold.reason != breaker.MASS_REVOCATION:
            return []
        gone = self.state.vanished(hold.dataset, breaker.PASSES)[:limit]
        return [mask_number(" ".join(json.loads(entry.key))) for entry in gone]

    def standing_for(self, dataset: str, key: str) -> str:
        """The id of the certificate that stands for a source key. Raises NotFound `agent.no_certificate`."""
        return self._entry(dataset, key).certificate_id

    def waive(self, dataset: str, key: str, *, officer: str) -> int:
        """An officer says that a row will not be repaired: it stays unsigned. Gives how many reasons it had."""
        ref = ref_of(self.desk.secret, dataset, tuple(key.split("|")))
        return quarantining.waive(self.state, dataset, ref, officer)

    def status(self) -> Status:
        """How things stand, from the state file alone."""
        counts = quarantining.counts(self.state)
        held = quarantining.held(self.state)
        present = seconds(self._clock())
        return Status(
            tuple(
                DatasetStatus(
                    one.id,
                    self.state.count_current(one.id),
                    sum(rows for dataset, _, rows in counts if dataset == one.id),
                    sum(hold.dataset == one.id for hold in held),
                    last[0] if (last := self.state.last_complete(one.id)) else None,
                )
                for one in self.config.datasets
            ),
            len(self.state.waiting(100_000)),
            self.state.count_free(),
            tuple((one.uri, one.seq, max(0, (one.expires - present) // 3600)) for one in self.state.lists()),
        )

    # --- inside ---

    def _datasets(self, dataset_id: str | None) -> Iterable[Dataset]:
        if dataset_id is None:
            return self.config.datasets
        found = self.config.dataset(dataset_id)
        if found is None:
            names = "、".join(one.id for one in self.config.datasets)
            raise NotFound(
                "agent.no_dataset", f"配置里没有数据集 {dataset_id}。", "The configuration has no such dataset.",
                next_zh=f"有：{names}。", next_en=f"There are: {names}.",
            )  # fmt: skip
        return (found,)

    def _entry(self, dataset: str, key: str) -> Entry:
        for ref in (
            key,
            ref_of(self.desk.secret, dataset, (key,)),
            ref_of(self.desk.secret, dataset, tuple(key.split("|"))),
        ):
            found = self.state.entry(dataset, ref)
            if found is not None and found.state == "current":
                return found
        raise NotFound(
            "agent.no_certificate", "这个主键没有有效的证照。", "No certificate stands for this key.",
            next_zh="多列主键请用 | 连接。", next_en="Join the parts of a key of several columns with |.",
        )  # fmt: skip

    def _own_status_key(self, kid: str) -> PublicKey:
        return self._enrolment.own_status_key(kid)

    def _check_key(self, purpose: str) -> Check:
        try:
            kid = self.keyring.active(purpose, self._clock()).kid
        except KeyFault as fault:
            return Check(f"key.{purpose}", False, f"{fault.zh}，请先运行 yimen-agent init。", fault.en)
        return Check(f"key.{purpose}", True, f"密钥 {kid[:8]}… 可用。", f"Key {kid[:8]}… may sign.")

    def _check_type(self, dataset: Dataset) -> Check:
        name = f"type.{dataset.type}"
        try:
            kind = self.desk.certificate_type(dataset.type)
        except HubError as fault:
            return Check(name, False, fault.zh, fault.en)
        unknown = sorted(set(dataset.claims) - kind.properties)
        if unknown:
            return Check(
                name, False, f"证照类型没有这些字段：{'、'.join(unknown)}。", f"The type has no {unknown}."
            )
        return Check(name, True, f"证照类型 {kind.vct}。", f"Certificate type {kind.vct}.")

    def _check_source(self, dataset: Dataset) -> Check:
        name = f"source.{dataset.id}"
        try:
            source = open_source(dataset, self.config.agent.state.parent)
            try:
                rows = source.count()
                different = drift.look(self.state, dataset, source)
            finally:
                source.close()
        except HubError as fault:
            return Check(name, False, f"{fault.zh}{fault.next_zh}", f"{fault.en} {fault.next_en}")
        said = "" if rows is None else f"{rows}"
        zh, en = different.told()
        return Check(
            name, not different.retyped,
            f"可读，{len(columns_of(dataset))} 列齐全，行数 {said or '未知'}。{zh}",
            f"Readable, all {len(columns_of(dataset))} columns there, {said or 'unknown'} rows. {en}".strip(),
        )  # fmt: skip


def main() -> None:
    """The `yimen-agent` command."""
    from adapters.command import main as command

    command()
