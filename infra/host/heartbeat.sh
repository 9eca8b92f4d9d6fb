#!/bin/bash
# On the machine, every minute: tell CloudWatch that the bot lives. Silence is the alarm, so this must say
# nothing unless the engine's own heartbeat is fresh, or the bot ended its day in order (exit code 0).
set -euo pipefail
healthy() { curl -fsS --max-time 5 -o /dev/null http://127.0.0.1:9100/healthz; }
ended() {
  [ "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' options-bot-bot-1)" = "exited 0" ]
}
if healthy || ended; then
  aws cloudwatch put-metric-data --namespace OptionsBot --metric-name Heartbeat \
    --dimensions "Name=$BOT_NAME" --value 1
fi
