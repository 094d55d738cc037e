# Aliases only: ./run is the door, because a fresh machine may have no make.
.PHONY: demo test lint serve lock revision first-revision files
demo test lint serve:
	./run $@

# Both locks hold hashes for every platform and name no index, so any mirror setting of pip or uv works.
COMPILE = uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	--custom-compile-command "make lock"
lock:
	$(COMPILE) pyproject.toml --extra mysql --extra postgresql --extra excel -o requirements.lock
	$(COMPILE) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

# make revision MESSAGE="what changed": compares hub.schema with the revisions so far and writes the difference.
BIN ?= .venv/bin
ALEMBIC = $(BIN)/alembic -x url=sqlite:///.cache/revision.db
TIDY = $(BIN)/ruff check --quiet --fix --select I alembic/versions && $(BIN)/ruff format --quiet alembic/versions \
	&& sed -i 's/^Revises: *$$/Revises: nothing/; /please adjust!/d; /end Alembic commands/d' alembic/versions/*.py
revision:
	mkdir -p .cache && rm -f .cache/revision.db
	$(ALEMBIC) upgrade head
	$(ALEMBIC) -x batch=yes revision --autogenerate -m "$(MESSAGE)" \
	    --rev-id "$$(printf '%04d' $$(($$(ls alembic/versions | grep -c '^[0-9].*py$$') + 1)))"
	$(TIDY)

# Until the first release there is one revision, written afresh whenever the schema changes.
first-revision:
	mkdir -p .cache && rm -f .cache/revision.db alembic/versions/0*.py
	$(ALEMBIC) revision --autogenerate --rev-id 0001 -m "the first schema"
	$(TIDY)

# The list of files in docs/architecture.md.
files:
	$(BIN)/python tests/house/plan.py
