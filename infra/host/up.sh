#!/bin/bash
# On the machine, at each boot and rollout: get the receivers' secrets into memory, pull the image, start.
# Settings come from host.env (uploaded by infra/deploy, nothing secret).
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
set -a
# shellcheck source=/dev/null
. "$here/host.env"
set +a

run=/run/options-bot
install -d -m 0700 "$run"
rm -rf "$run/alertmanager"
cp -r "$here/infra/alertmanager" "$run/alertmanager"
chmod 0755 "$run/alertmanager"
(umask 077; aws secretsmanager get-secret-value --secret-id "$ALERTS_SECRET" --query SecretString --output text \
  2>/dev/null > "$run/alerts.json" || echo '{}' > "$run/alerts.json")
# A renderer, where there is one, writes alertmanager.yml from the environment; else the file stands as it is.
if [ -x "$run/alertmanager/render" ]; then
  ( # each name of the JSON becomes a variable of the renderer alone
    while IFS='=' read -r name value; do export "$name=$value"; done \
      < <(jq -r 'to_entries[] | "\(.key)=\(.value)"' "$run/alerts.json")
    "$run/alertmanager/render" > "$run/alertmanager/alertmanager.yml"
  )
fi
export ALERTMANAGER_CONFIG="$run/alertmanager" BOT_CONFIG="$here/bot.toml" COMPOSE_PROFILES=live

aws ecr get-login-password | docker login --username AWS --password-stdin "${BOT_IMAGE%%/*}"
cd "$here/infra"
docker compose -f compose.yaml -f compose.aws.yaml pull --quiet
docker compose -f compose.yaml -f compose.aws.yaml up -d --no-build --remove-orphans
docker image prune -f --filter until=720h
