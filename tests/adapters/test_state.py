"""The state file forgets nothing that was promised, and the quarantine and the breaker count right."""

import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace

import pytest

from adapters import quarantine
from adapters.findings import Finding
from adapters.state import KnownList, State, Waiting
from hub.errors import Conflict

NOW = "2026-11-23T01:30:00+00:00"


@pytest.fixture
def state(tmp_path):
    found = State(tmp_path / "deep" / "state.db")
    yield found
    found.close()


def waiting(ref="r1", kind="register", generation=1, **more) -> Waiting:
    return Waiting(
        id=0, kind=kind, dataset="d", ref=ref, key='["1"]', generation=generation, claims_hash="h", sd_jwt="token",
        uri="u", idx=1, as_of=None, signed_on="2026-11-23", pass_id=1, notes="", old_id=None, old_uri=None,
        old_idx=None, reason="", list_token=None,
    ) if not more else replace(waiting(ref, kind, generation), **more)  # fmt: skip


def test_the_file_is_for_its_owner_only(state):
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o600


def test_a_promise_becomes_an_entry_only_when_acked(state):
    state.keep_free([("u", 1), ("u", 2)])
    state.promise(waiting())
    assert state.entry("d", "r1") is None
    assert state.count_free() == 1  # the index is gone from now on
    [promised] = state.waiting()
    state.acked(promised, "c1")
    entry = state.entry("d", "r1")
    assert entry is not None
    assert (entry.certificate_id, entry.generation, entry.state) == ("c1", 1, "current")
    assert state.waiting() == []
    assert state.by_certificate("c1") == entry


def test_one_promise_for_a_key_at_a_time(state):
    state.promise(waiting())
    with pytest.raises(sqlite3.IntegrityError):
        state.promise(waiting(generation=2))
    assert len(state.waiting()) == 1


@pytest.mark.parametrize(
    ("reason", "after"), [("vanished", "vanished"), ("ended", "vanished"), ("error", "revoked")]
)
def test_revocations(state, reason, after):
    state.promise(waiting())
    state.acked(state.waiting()[0], "c1")
    state.promise(waiting(kind="revoke", old_id="c1", old_uri="u", old_idx=1, reason=reason))
    state.acked(state.waiting()[0], "c1")
    entry = state.entry("d", "r1")
    assert entry is not None
    assert entry.state == after
    assert state.count_current("d") == 0


def test_absence_is_counted_in_consecutive_passes(state):
    for ref in ("r1", "r2"):
        state.promise(waiting(ref))
        state.acked(state.waiting()[0], f"c-{ref}")
    second, third, fourth = (state.start_pass("d", "", NOW) + 1 for _ in range(3))
    state.seen("d", ["r1"], second)
    state.miss("d", second)
    assert state.unseen("d", second) == ["r2"]
    assert [entry.ref for entry in state.vanished("d", 1)] == ["r2"]
    assert state.vanished("d", 2) == []
    state.seen("d", ["r1", "r2"], third)
    state.miss("d", third)
    assert state.vanished("d", 1) == []
    state.seen("d", ["r1"], fourth)
    state.miss("d", fourth)
    assert state.vanished("d", 2) == []


def test_a_transaction_is_all_or_nothing(state):
    def fail() -> None:
        with state.transaction():
            state.promise(waiting())
            state.put("a", "b")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert state.waiting() == []
    assert state.get("a") is None


def test_indices_are_never_given_twice(state):
    state.keep_free([("u", place) for place in range(20)])
    assert sorted(state.take_indices(15) + state.take_indices(15)) == [("u", place) for place in range(20)]
    assert state.take_indices(1) == []


def test_lists_are_kept(state):
    known = KnownList("u", 8, 2, 1, "00", "token", 99)
    state.keep_list(known)
    state.keep_list(replace(known, seq=2))
    assert state.lists() == [replace(known, seq=2)]


def test_one_sync_at_a_time_also_between_processes(state):
    script = (
        "import sys; from pathlib import Path; from adapters.state import State\n"
        f"state = State(Path({str(state.path)!r}))\n"
        "with state.alone(): print('in', flush=True); sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "in\n"
    with pytest.raises(Conflict, match=r"agent\.busy"), state.alone():
        pass
    other.kill()  # a killed holder lets go at once
    other.wait()
    with state.alone():
        pass


# --- quarantine ---


def put(state, ref="r1", codes=("lossy_text",), pass_id=1, **more):
    quarantine.put(
        state,
        "d",
        ref,
        '["1"]',
        [Finding(code, "name") for code in codes],
        pass_id=pass_id,
        rules="v",
        now=NOW,
        **more,
    )


def test_reasons_that_have_gone_are_cleared(state):
    put(state, codes=("lossy_text", "type"))
    put(state, codes=("type",), pass_id=2)
    assert [one.finding.code for one in quarantine.listed(state)] == ["type"]
    quarantine.clear(state, "d", "r1")
    assert quarantine.listed(state) == []


def test_rows_without_a_key_are_counted(state):
    for _ in range(3):
        put(state, ref=quarantine.UNKEYED, codes=("missing_key",))
    assert quarantine.counts(state) == [("d", "missing_key", 3)]
    put(state, ref=quarantine.UNKEYED, codes=("missing_key",), pass_id=2)
    assert quarantine.counts(state) == [("d", "missing_key", 1)]


def test_what_the_hub_refused_is_not_asked_again_until_retried(state):
    put(state, codes=("refused_by_hub",), claims_hash="h1")
    assert quarantine.refused(state, "d", "r1", "h1")
    assert not quarantine.refused(state, "d", "r1", "h2")
    assert quarantine.retry(state, code="refused_by_hub", officer="李四") == 1
    assert not quarantine.refused(state, "d", "r1", "h1")


def test_waived_rows_are_out_of_the_counts_and_stay_waived(state):
    put(state)
    assert quarantine.waive(state, "d", "r1", "李四") == 1
    put(state, pass_id=2)
    assert quarantine.counts(state) == []
    assert quarantine.listed(state)[0].state == "waived"


def test_rows_that_left_the_source_leave_the_quarantine(state):
    put(state, ref="r1", pass_id=1)
    put(state, ref="r2", pass_id=2)
    quarantine.clear_absent(state, "d", 2)
    assert [one.ref for one in quarantine.listed(state)] == ["r2"]


def test_a_release_names_an_officer_and_is_good_once(state):
    for rows in (5, 6):
        quarantine.hold(state, "d", pass_id=1, reason="mass_revocation", rows=rows, total=9, now=NOW)
    [hold] = quarantine.held(state)
    assert (hold.rows, hold.total) == (6, 9)
    assert quarantine.released(state, "d", "mass_revocation") is None
    assert quarantine.release(state, hold.id, "李四")
    assert not quarantine.release(state, hold.id, "李四")
    assert quarantine.released(state, "d", "mass_revocation") == 6
    quarantine.spend(state, "d", "mass_revocation")
    assert quarantine.released(state, "d", "mass_revocation") is None


def test_a_discarded_hold_releases_nothing(state):
    quarantine.hold(state, "d", pass_id=1, reason="few_rows", rows=1, total=9, now=NOW)
    [hold] = quarantine.held(state)
    quarantine.release(state, hold.id, "李四", discard=True)
    assert quarantine.released(state, "d", "few_rows") is None
    assert quarantine.held(state) == []
