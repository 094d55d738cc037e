"""Witnesses: what they refuse, what they remember, and how the hub collects their lines over HTTP."""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from ledger.rig import Rig
from parts import FixedClock
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from typer.testing import CliRunner

from hub.actor import SYSTEM
from hub.cli import app
from hub.cli.witness import open_witness
from hub.clock import seconds
from hub.errors import Conflict, HubError
from hub.formats import addcheckpoint, merkle, note
from hub.formats.addcheckpoint import AddCheckpoint
from hub.formats.jws import b64u_decode
from hub.formats.note import COSIGNATURE, Checkpoint, Note, SignatureLine, make_vkey, sign_checkpoint
from hub.ledger import cosign as cosigning
from hub.ledger.cosign import Cosigner, WitnessAddress, witness_address
from hub.ledger.model import head, leaves
from hub.ledger.sequence import Sequencer
from hub.ledger.witness import Answer, Witness
from hub.web.witness import witness_app
from keys.signer import LocalSigner, generate

ORIGIN = "yimen.example/ledger"
LOG = LocalSigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
LOG_KEY = make_vkey(ORIGIN, b64u_decode(LOG.public.jwk["x"]))
LEAVES = [merkle.leaf_hash(bytes([number])) for number in range(40)]
NODES = merkle.nodes_of(LEAVES)


def witness_key(signer: LocalSigner, name: str = "audit.example/w") -> note.Vkey:
    return make_vkey(name, b64u_decode(signer.public.jwk["x"]), COSIGNATURE)


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    signer = generate("EdDSA")
    made = Witness(tmp_path / "w", signer=signer, key=witness_key(signer), logs={ORIGIN: LOG_KEY})
    yield made
    made.close()


def checkpoint(size: int, root: bytes | None = None, signer: LocalSigner = LOG) -> Note:
    found = Checkpoint(ORIGIN, size, merkle.root(LEAVES[:size]) if root is None else root)
    key = make_vkey(ORIGIN, b64u_decode(signer.public.jwk["x"]))
    return sign_checkpoint(found, signer, key)


def ask(witness: Witness, old: int, new: Note, proof: list[bytes] | None = None, now: int = 5) -> Answer:
    size = note.parse_checkpoint(new.text).size
    made = (
        proof if proof is not None else merkle.consistency_proof(old, size, NODES) if 0 < old <= size else []
    )
    return witness.add_checkpoint(AddCheckpoint(old, tuple(made), new).to_bytes(), now=now)


def test_a_growing_log_is_cosigned(witness: Witness) -> None:
    for old, new in ((0, 0), (0, 3), (3, 3), (3, 17), (17, 40)):
        answer = ask(witness, old, checkpoint(new))
        assert answer.status == 200, (old, new, answer)
        line = note.parse(f"{checkpoint(new).text}\n{answer.body}")
        assert note.verify(line, [witness._key])
    kept = witness.latest(hashlib.sha256(ORIGIN.encode()).hexdigest())
    assert kept is not None
    assert note.verify_checkpoint(note.parse(kept), LOG_KEY, [witness._key]).witnessed == {
        "audit.example/w": 5
    }
    assert witness.latest("0" * 64) is None


def test_the_table_of_the_standard(witness: Witness) -> None:
    assert ask(witness, 0, checkpoint(5)).status == 200
    other = sign_checkpoint(
        Checkpoint("other.example", 1, bytes(32)), LOG, make_vkey("other.example", LOG_KEY.public)
    )
    stranger = checkpoint(9, signer=generate("EdDSA"))
    spoilt = checkpoint(9).with_signatures([SignatureLine(ORIGIN, LOG_KEY.key_id, bytes(64))])
    proof = merkle.consistency_proof(5, 9, NODES)
    cases = [
        (witness.add_checkpoint(b"nonsense", now=5), 400),
        (ask(witness, 5, checkpoint(9), [bytes(32)] * 64), 400),
        (witness.add_checkpoint(b"old 05\n\n" + str(checkpoint(9)).encode(), now=5), 400),
        (ask(witness, 5, other), 404),
        (ask(witness, 5, stranger), 403),
        (ask(witness, 5, spoilt), 403),
        (ask(witness, 9, checkpoint(5)), 400),
        (ask(witness, 3, checkpoint(9)), 409),
        (ask(witness, 0, checkpoint(9)), 409),
        (ask(witness, 5, checkpoint(9), []), 422),
        (ask(witness, 5, checkpoint(9), [*proof, bytes(32)]), 422),
        (ask(witness, 5, checkpoint(9, bytes(32)), proof), 422),
    ]
    assert [(answer.status, want) for answer, want in cases if answer.status != want] == []
    assert cases[7][0] == Answer(409, "5\n", addcheckpoint.SIZE_TYPE)
    assert ask(witness, 5, checkpoint(9)).status == 200


def test_the_first_checkpoint_needs_no_proof_and_takes_none(witness: Witness) -> None:
    assert ask(witness, 0, checkpoint(9), [bytes(32)]).status == 422
    assert ask(witness, 0, checkpoint(0, bytes(32))).status == 422
    assert ask(witness, 0, checkpoint(9)).status == 200


def test_a_fork_is_refused_and_kept_as_evidence(witness: Witness, tmp_path: Path) -> None:
    assert ask(witness, 0, checkpoint(5)).status == 200
    assert ask(witness, 5, checkpoint(5, bytes(32)), []).status == 422
    (evidence,) = (tmp_path / "w").glob("*.evidence")
    assert evidence.read_text().count(ORIGIN) >= 4  # both notes, each with the log's own signature


def test_memory_survives_and_belongs_to_one_process(witness: Witness, tmp_path: Path) -> None:
    assert ask(witness, 0, checkpoint(5)).status == 200
    signer = generate("EdDSA")
    with pytest.raises(Conflict, match=r"witness\.busy"):
        Witness(tmp_path / "w", signer=signer, key=witness_key(signer), logs={})
    witness.close()
    again = Witness(tmp_path / "w", signer=signer, key=witness_key(signer), logs={ORIGIN: LOG_KEY})
    assert ask(again, 0, checkpoint(4)).status == 409
    assert ask(again, 5, checkpoint(5), now=9).status == 200
    witness._handle = again._handle  # the fixture closes it


@given(st.binary(max_size=300))
def test_hostile_requests_raise_only_our_errors(data: bytes) -> None:
    for body in (data, b"old 1\n" + data):
        with pytest.raises(HubError):
            addcheckpoint.read(body)


@given(st.integers(0, 2**63 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=63))
def test_requests_read_back(old: int, proof: list[bytes]) -> None:
    made = AddCheckpoint(old, tuple(proof), checkpoint(3))
    assert addcheckpoint.read(made.to_bytes()) == made


# --- the hub collects ---


class Network:
    """Witnesses behind HTTP, in this process; a name that is not there, or is `down`, does not answer."""

    def __init__(self, rig: Rig, folder: Path, clock: FixedClock) -> None:
        self.folder, self.clock = folder, clock
        self.witnesses: dict[str, Witness] = {}
        self.addresses: list[WitnessAddress] = []
        self.down: set[str] = set()
        self.slow: set[str] = set()
        self.rig = rig
        served = Starlette(routes=[Route("/{name}/add-checkpoint", self.answer, methods=["POST"])])
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(served))

    async def answer(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name in self.slow:
            await asyncio.sleep(5)
        if name in self.down:
            return Response(status_code=502)
        answer = self.witnesses[name].add_checkpoint(await request.body(), now=seconds(self.clock()))
        return Response(answer.body, answer.status, media_type=answer.media_type)

    def add(self, name: str) -> None:
        signer = generate("EdDSA")
        key = witness_key(signer, name)
        self.witnesses[name] = Witness(
            self.folder / name, signer=signer, key=key, logs={ORIGIN: self.rig.key}
        )
        self.addresses.append(witness_address(f"{key} http://witness.example/{name}"))

    def sequencer(self, quorum: int = 2) -> Sequencer:
        cosigner = Cosigner(self.addresses, http=self.http, quorum=quorum, deadline=0.5)
        rig = self.rig
        return Sequencer(rig.db, rig.blobs, origin=ORIGIN, signer=rig.signer, cosigner=cosigner)

    async def out(self) -> note.Cosigned:
        keys = [address.key for address in self.addresses]
        return note.verify_checkpoint(note.parse(await self.rig.reader.checkpoint()), self.rig.key, keys)


@pytest.fixture
def network(quick_rig: Rig, tmp_path: Path, clock: FixedClock) -> Network:
    made = Network(quick_rig, tmp_path / "witnesses", clock)
    for name in ("audit", "edu", "ps"):
        made.add(name)
    return made


async def test_what_is_published_is_cosigned(network: Network) -> None:
    sequencer = network.sequencer()
    await sequencer.take_office()
    for number in range(3):
        await network.rig.add(300, first=1000 * number)
        await sequencer.step()
        found = await network.out()
        assert (found.checkpoint.size, set(found.witnessed)) == (300 * (number + 1), {"audit", "edu", "ps"})
    assert not sequencer.short_of_witnesses()


async def test_witnesses_that_fail_stop_nothing_and_are_asked_again(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cosigning, "REST_SECONDS", 0.0)
    network.down = {"edu"}
    network.slow = {"ps"}
    sequencer = network.sequencer()
    await sequencer.take_office()
    await network.rig.add(5)
    await sequencer.step()
    assert set((await network.out()).witnessed) == {"audit"}
    assert sequencer.short_of_witnesses()
    network.down, network.slow = set(), set()
    await sequencer.step()  # nothing new came in; the late ones cosign what is out
    found = await network.out()
    assert (found.checkpoint.size, set(found.witnessed)) == (5, {"audit", "edu", "ps"})


async def test_a_new_process_learns_what_the_witnesses_have_seen(network: Network) -> None:
    sequencer = network.sequencer()
    await sequencer.take_office()
    await network.rig.add(5)
    await sequencer.step()
    again = network.sequencer()
    await again.take_office()
    await network.rig.add(5, first=5)
    await again.step()
    assert len((await network.out()).witnessed) == 3


async def test_a_restored_backup_is_stopped_by_any_one_witness(network: Network) -> None:
    """Database and object store restored together: only somebody else remembers (R17)."""
    rig = network.rig
    sequencer = network.sequencer()
    await sequencer.take_office()
    await rig.add(5)
    await sequencer.step()
    async with rig.db.view(SYSTEM) as view:
        backup = dict((await view.all(head.select()))[0]._mapping)
    kept = await rig.reader.checkpoint()
    await rig.add(5, first=5)
    await sequencer.step()
    await rig.sql(head.update().values(**backup))
    await rig.sql(leaves.delete().where(leaves.c.idx >= 5))
    await rig.blobs.put("ledger/checkpoint", kept)
    network.down = {"audit", "ps"}
    restored = network.sequencer()
    with pytest.raises(Conflict, match=r"ledger\.rolled_back"):
        await restored.take_office()
    with pytest.raises(Conflict):
        await restored.step()


@pytest.mark.parametrize(
    "text",
    ["", "x http://w", str(LOG_KEY) + " http://w", str(witness_key(LOG)), str(witness_key(LOG)) + " ftp://w"],
    ids=["empty", "no key", "a log's key", "no address", "not http"],
)
def test_witness_settings_are_read_strictly(text: str) -> None:
    with pytest.raises(HubError):
        witness_address(text)


# --- the program ---


async def test_the_witness_program_from_its_folder(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\nnot this\n")
    made = CliRunner().invoke(
        app, ["witness", "init", str(tmp_path / "w"), "--name", "audit.example/w", "--log", str(LOG_KEY),
              "--passphrase-file", str(secret), "--json"],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    witness, key = open_witness(tmp_path / "w", passphrase="correct horse")
    assert json.loads(made.output)["witness_key"] == str(key)
    door = httpx.ASGITransport(witness_app(witness, now=lambda: 7))
    async with httpx.AsyncClient(transport=door, base_url="http://w") as http:
        body = AddCheckpoint(0, (), checkpoint(5)).to_bytes()
        answer = await http.post("/add-checkpoint", content=body)
        assert answer.status_code == 200
        assert note.verify(note.parse(f"{checkpoint(5).text}\n{answer.text}"), [key])
        again = await http.post("/add-checkpoint", content=body)
        assert (again.status_code, again.text) == (409, "5\n")
        assert again.headers["content-type"].startswith("text/x.tlog.size")
        assert (await http.post("/add-checkpoint", content=b"x" * 100_000)).status_code == 413
        origin_hash = hashlib.sha256(ORIGIN.encode()).hexdigest()
        kept = await http.get(f"/{origin_hash}/checkpoint")
        assert note.verify_checkpoint(note.parse(kept.content), LOG_KEY, [key]).witnessed == {key.name: 7}
        assert (await http.get("/00/checkpoint")).status_code == 404
    witness.close()


def test_a_witness_is_not_set_up_over_another_or_for_a_wrong_key(tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\n")
    wanted = ["witness", "init", str(tmp_path / "w"), "--name", "w", "--passphrase-file", str(secret)]
    assert CliRunner().invoke(app, [*wanted, "--log", str(witness_key(LOG))]).exit_code != 0
    assert CliRunner().invoke(app, [*wanted, "--log", str(LOG_KEY)]).exit_code == 0
    assert CliRunner().invoke(app, [*wanted, "--log", str(LOG_KEY)]).exit_code != 0
