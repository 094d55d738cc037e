# Aliases only: ./run is the door, because a fresh machine may have no make.
.PHONY: demo test lint serve lock
demo test lint serve:
	./run $@

# Both locks hold hashes for every platform and name no index, so any mirror setting of pip or uv works.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --custom-compile-command "make lock" pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --custom-compile-command "make lock" pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
