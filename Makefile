# Aliases only: ./run is the door, because a fresh machine may have no make.
.PHONY: demo test lint serve lock revision
demo test lint serve:
	./run $@

# Both locks hold hashes for every platform and name no index, so any mirror setting of pip or uv works.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --custom-compile-command "make lock" pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock

# make revision MESSAGE="what changed": compares hub.schema with the revisions so far and writes the difference.
revision:
	rm -rf .cache/revision.db && mkdir -p .cache
	.venv/bin/alembic -x url=sqlite:///.cache/revision.db upgrade head
	.venv/bin/alembic -x url=sqlite:///.cache/revision.db -x batch=yes revision --autogenerate \
	    --rev-id "$$(printf '%04d' $$(($$(ls alembic/versions | grep -c '^[0-9].*py$$') + 1)))" -m "$(MESSAGE)"
	.venv/bin/ruff check --quiet --fix --select I alembic/versions && .venv/bin/ruff format --quiet alembic/versions
