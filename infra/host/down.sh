#!/bin/bash
# On the machine, before it stops: the bot first, so that it may sell what is open.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
set -a
# shellcheck source=/dev/null
. "$here/host.env"
set +a
export COMPOSE_PROFILES=live
cd "$here/infra"
docker compose -f compose.yaml -f compose.aws.yaml stop bot
docker compose -f compose.yaml -f compose.aws.yaml stop
