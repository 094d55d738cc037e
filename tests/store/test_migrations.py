"""The revisions in alembic/ make exactly the tables of hub.schema, on both databases, and can be undone."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

ROOT = Path(__file__).resolve().parents[2]

POSTGRESQL_LOOKS = [
    "SELECT c.relname, c.relkind, pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid) FROM pg_class c"
    " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'S', 'v', 'm')",
    "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default,"
    " is_identity FROM information_schema.columns WHERE table_schema = 'public'",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
]
SQLITE_LOOKS = ["SELECT type, name, sql FROM sqlite_master"]


def config(url: str) -> Config:
    made = Config(toml_file=str(ROOT / "pyproject.toml"))
    made.set_main_option("script_location", str(ROOT / "alembic"))
    made.attributes["url"] = url
    return made


def told(cell: object) -> str:
    """One cell as text; the parts of a CREATE TABLE are sorted: an added column stands where SQLite puts it."""
    text = re.sub(r"\s+", " ", str(cell)).replace('"', "").strip()
    if text.startswith("CREATE TABLE"):
        head, _, inside = text.removesuffix(")").partition("(")
        parts = re.split(r",(?![^(]*\))", inside)
        text = f"{head.strip()}({','.join(sorted(part.strip() for part in parts))})"
    return text


async def look(url: str) -> set[tuple[str, ...]]:
    """Everything the database says about its own tables, without Alembic's own."""
    engine = create_async_engine(url)
    looks = SQLITE_LOOKS if engine.dialect.name == "sqlite" else POSTGRESQL_LOOKS
    async with engine.connect() as connection:
        rows = [row for look in looks for row in await connection.execute(sa.text(look))]
    await engine.dispose()
    return {
        row
        for row in (tuple(map(told, row)) for row in rows)
        if not any("alembic_version" in cell for cell in row)
    }


@pytest.fixture
def migrated(empty_database: str) -> str:
    command.upgrade(config(empty_database), "head")
    return empty_database


async def test_the_revisions_make_the_tables_of_the_schema(migrated: str, request: pytest.FixtureRequest):
    kind = migrated.partition("+")[0]
    wanted = await look(request.getfixturevalue(f"{kind}_database"))
    made = await look(migrated)
    assert made - wanted == set(), "only the revisions have this"
    assert wanted - made == set(), "only hub.schema has this: make revision MESSAGE=..."
    assert len(wanted) > 30


def test_every_revision_can_be_undone(migrated: str):
    command.downgrade(config(migrated), "base")
    command.upgrade(config(migrated), "head")


def test_there_is_one_head_and_revisions_are_numbered():
    script = ScriptDirectory.from_config(config("sqlite://"))
    revisions = [revision.revision for revision in script.walk_revisions()]
    assert len(script.get_heads()) == 1
    assert all(re.fullmatch(r"\d{4}", one) for one in revisions)
    assert all(Path(revision.path).name.startswith(revision.revision) for revision in script.walk_revisions())
