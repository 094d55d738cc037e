# One image for the hub, its commands, a department's agent and a reviewing department's gateway. Behind a mirror: --build-arg PIP_INDEX_URL=...
FROM python:3.11-slim-bookworm AS packages
ARG PIP_INDEX_URL
COPY requirements.lock /tmp/requirements.lock
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /tmp/requirements.lock

FROM python:3.11-slim-bookworm
RUN groupadd --system --gid 10001 yimen \
 && useradd --system --uid 10001 --gid 10001 --home-dir /data --shell /usr/sbin/nologin yimen \
 && install -d -o yimen -g yimen -m 0700 /data \
 && printf '#!/bin/sh\nexec python -m hub.cli "$@"\n' >/usr/local/bin/yimen \
 && printf '#!/bin/sh\nexec python -m adapters.command "$@"\n' >/usr/local/bin/yimen-agent \
 && printf '#!/bin/sh\nexec python -m adapters.gatewaycommand "$@"\n' >/usr/local/bin/yimen-gateway \
 && chmod 0755 /usr/local/bin/yimen /usr/local/bin/yimen-agent /usr/local/bin/yimen-gateway
COPY --from=packages /opt/venv /opt/venv
COPY LICENSE README.md /app/
COPY alembic /app/alembic
COPY keys /app/keys
COPY adapters /app/adapters
COPY hub /app/hub
RUN python -m compileall -q /app
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 YIMEN_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["yimen"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
