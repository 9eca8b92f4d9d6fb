#!/bin/bash
# On the machine, at each boot and rollout: get the receivers' secrets into memory, pull the image, start.
# Settings come from host.env (uploaded by infra/deploy, nothing secret).
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
set -a
# shellcheck source=/dev/null
. "$here/host.env"
set +a

# The secret is JSON of ALERT_… names (docs/runbook.md). What a name ending in _FILE holds is put into a file in
# memory, and the name is pointed at it; the folder above is root's alone.
run=/run/options-bot
rm -rf "$run"
install -d -m 0700 "$run"
install -d -m 0755 "$run/alert-secrets"
receivers=$(aws secretsmanager get-secret-value --secret-id "$ALERTS_SECRET" --query SecretString --output text \
  2> /dev/null || echo '{}')
while IFS='=' read -r name value; do
  case $name in
    ALERT_*_FILE)
      install -m 0444 /dev/null "$run/alert-secrets/$name"
      printf %s "$value" > "$run/alert-secrets/$name"
      export "$name=/run/alert-secrets/$name"
      ;;
    ALERT_*) export "$name=$value" ;;
    ?*) echo "up.sh: the alerts secret holds $name: not an ALERT_… name, left out" >&2 ;;
  esac
done < <(jq -r 'to_entries[] | "\(.key)=\(.value)"' <<< "$receivers")
unset receivers
export ALERT_SECRETS_FOLDER="$run/alert-secrets" BOT_CONFIG="$here/bot.toml" COMPOSE_PROFILES=live

aws ecr get-login-password | docker login --username AWS --password-stdin "${BOT_IMAGE%%/*}"
cd "$here/infra"
docker compose -f compose.yaml -f compose.aws.yaml pull --quiet
docker compose -f compose.yaml -f compose.aws.yaml up -d --no-build --remove-orphans
docker image prune -f --filter until=720h
