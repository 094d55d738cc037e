"""What the state file holds: its tables, and its rows as values."""

from dataclasses import dataclass
from typing import Literal

SCHEMA = """
create table if not exists meta (name text primary key, value text not null) without rowid;
create table if not exists entry (
    dataset text not null, ref text not null, key text not null, claims_hash text not null,
    generation integer not null, certificate_id text not null, uri text not null, idx integer not null,
    as_of text, signed_on text not null,
    state text not null check (state in ('current', 'vanished', 'revoked')),
    seen_pass integer not null, missed integer not null default 0, notes text not null default '',
    primary key (dataset, ref)) without rowid;
create index if not exists entry_seen on entry (dataset, state, seen_pass);
create table if not exists outbox (
    id integer primary key autoincrement, kind text not null check (kind in ('register', 'supersede', 'revoke')),
    dataset text not null, ref text not null, key text not null, generation integer not null,
    claims_hash text not null, sd_jwt text not null, uri text not null, idx integer not null,
    as_of text, signed_on text not null, pass integer not null, notes text not null default '',
    old_id text, old_uri text, old_idx integer, reason text not null default '', list_token text,
    attempts integer not null default 0, last_error text not null default '', unique (dataset, ref));
-- outbox.list_token was for lists of one promise each; an older agent that is started on this file still looks for it.
-- The step under way: the lists that are sent together, and which promises they settle. There is one at most.
create table if not exists step_list (place integer primary key, token text not null);
create table if not exists step_part (place integer primary key, outbox_id integer not null unique);
create table if not exists free_index (uri text not null, idx integer not null, primary key (uri, idx)) without rowid;
create table if not exists status_list (
    uri text primary key, size integer not null, bits integer not null, seq integer not null,
    sha256 text, token text, expires integer not null) without rowid;
create table if not exists pass (
    id integer primary key autoincrement, dataset text not null, started text not null, ended text,
    complete integer not null default 0, rows integer not null default 0, rules text not null default '');
create table if not exists quarantine (
    dataset text not null, ref text not null, code text not null, place text not null, key text not null,
    source_column text not null, detail text not null, rules text not null, claims_hash text not null default '',
    rows integer not null default 1, first_seen text not null, last_seen text not null, pass integer not null,
    state text not null default 'open' check (state in ('open', 'retried', 'waived')),
    officer text not null default '', primary key (dataset, ref, code, place)) without rowid;
create table if not exists held (
    id integer primary key autoincrement, dataset text not null, pass integer not null, reason text not null,
    rows integer not null, total integer not null, made text not null,
    state text not null default 'open' check (state in ('open', 'released', 'discarded')),
    officer text not null default '');
create table if not exists decided (
    held_id integer not null, dataset text not null, reason text not null, rows integer not null,
    total integer not null, decision text not null check (decision in ('released', 'discarded')),
    officer text not null, salt text not null, commitment text not null, receipt text not null, at text not null);
create table if not exists mended (
    dataset text not null, key text not null, source_column text not null, was text not null, value text not null,
    officer text not null, made text not null, primary key (dataset, key, source_column)) without rowid;
create table if not exists unprinted (
    certificate_id text primary key, dataset text not null, sd_jwt text not null) without rowid;
create table if not exists pull (
    jti text primary key, grant_id text not null, type text not null, taken text not null, expires integer not null,
    outcome text not null default '', reason text not null default '') without rowid;
create index if not exists pull_grant on pull (grant_id, type);
create table if not exists type_document (
    code text primary key, document text not null, fetched text not null) without rowid;
"""
BY_ABSENCE = frozenset({"vanished", "ended"})
"""Reasons of revocations that the source itself gave, by no longer holding the row or by ending it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The certificate of one source key. Days are YYYY-MM-DD in Shanghai.

    `vanished` was revoked because its row was gone: a row that comes back is signed anew. `revoked` was revoked by a
    person: it is signed anew only when the row says something else. `notes` is what the mapping changed (JSON).
    """

    dataset: str
    ref: str
    key: str
    claims_hash: str
    generation: int
    certificate_id: str
    uri: str
    idx: int
    as_of: str | None
    signed_on: str
    state: Literal["current", "vanished", "revoked"]
    seen_pass: int
    missed: int
    notes: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """One promise to the hub that is not acked yet. `sd_jwt` is sent again byte for byte; empty for a revocation."""

    id: int
    kind: Literal["register", "supersede", "revoke"]
    dataset: str
    ref: str
    key: str
    generation: int
    claims_hash: str
    sd_jwt: str
    uri: str
    idx: int
    as_of: str | None
    signed_on: str
    pass_id: int
    notes: str
    old_id: str | None
    old_uri: str | None
    old_idx: int | None
    reason: str
    list_token: str | None


@dataclass(frozen=True, slots=True)
class KnownList:
    """A status list of ours as the hub last acked it; `token` None and `seq` 0 before the first signing."""

    uri: str
    size: int
    bits: int
    seq: int
    sha256: str | None
    token: str | None
    expires: int
