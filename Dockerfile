# The bot in a container: locked dependencies with hashes; what meets ticks and orders as machine code
# (infra/compile.py); no compiler, no root, nothing to write but /data.
#   docker build -t options-bot .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL -v bot-data:/data -e BOT_LIVE_ACCESS_TOKEN \
#     -v ./bot.toml:/app/bot.toml:ro options-bot
# x86-64 and arm64: every locked dependency has a wheel for both (a test asks the index).
FROM docker.io/library/python:3.11-slim-bookworm AS build
WORKDIR /src
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --quiet --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && python -m venv /app/.venv
COPY requirements-run.lock requirements-compile.lock ./
RUN /app/.venv/bin/python -m pip install --no-cache-dir --no-compile --disable-pip-version-check \
    --only-binary :all: --require-hashes -r requirements-run.lock \
    && /app/.venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --target /compiler \
    --only-binary :all: --require-hashes -r requirements-compile.lock \
    && /app/.venv/bin/python -m pip uninstall --yes --quiet pip setuptools
COPY infra/compile.py compile.py
COPY bot bot
RUN PYTHONPATH=/compiler /app/.venv/bin/python compile.py bot /app/compiled

FROM docker.io/library/python:3.11-slim-bookworm
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="kalman-options-bot" \
      org.opencontainers.image.description="A small, honest trading bot for Indian index options on Upstox" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BOT_DATA__FOLDER=/data \
    BOT_ARCHIVE__ROOT=/data/archive
# /config: where `alertmanager-config` writes as Alertmanager's user (infra/compose.yaml).
RUN useradd --uid 10001 --user-group --no-log-init --home-dir /data --create-home --shell /usr/sbin/nologin bot \
    && install -d -o 65534 -g 65534 -m 0700 /config
COPY --from=build /app/.venv /app/.venv
COPY --from=build /app/compiled /app
COPY models /app/models
USER 10001:10001
WORKDIR /app
VOLUME /data
EXPOSE 9100
# The engine's heartbeat, not just an open port. Before 09:00 the bot waits and serves nothing: that is no failure.
HEALTHCHECK --interval=30s --timeout=5s --start-period=75m CMD ["python", "-c", \
  "import urllib.request as u; u.urlopen('http://127.0.0.1:9100/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "bot"]
CMD ["run"]
