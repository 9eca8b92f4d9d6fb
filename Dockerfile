# The bot in a container: locked dependencies with hashes, no compiler, no root.
#   docker build -t bot .
#   docker run --read-only --tmpfs /tmp -v bot-data:/data -e BOT_LIVE_ACCESS_TOKEN -v ./bot.toml:/app/bot.toml:ro bot
FROM docker.io/library/python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /app/.venv
COPY requirements-run.lock .
RUN /app/.venv/bin/python -m pip install --no-cache-dir --no-compile --disable-pip-version-check \
    --require-hashes -r requirements-run.lock

FROM docker.io/library/python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="kalman-options-bot" \
      org.opencontainers.image.licenses="MIT"
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BOT_DATA__FOLDER=/data \
    BOT_ARCHIVE__ROOT=/data/archive
RUN useradd --system --uid 10001 --home-dir /data --create-home bot
COPY --from=build /app/.venv /app/.venv
COPY bot /app/bot
COPY models /app/models
USER bot
WORKDIR /app
VOLUME /data
EXPOSE 9100
# The engine's heartbeat, not just an open port.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", \
  "import urllib.request as u; u.urlopen('http://127.0.0.1:9100/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "bot"]
CMD ["run"]
