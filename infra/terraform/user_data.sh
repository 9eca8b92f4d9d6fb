#!/bin/bash
# shellcheck disable=SC2154
# First boot: Docker, Compose and the AWS client from Ubuntu's signed packages and snaps, then the units that
# fetch what `deploy` uploaded. Holds no secret. Filled in by Terraform.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
# The fixed address is joined a little after the boot; until then nothing goes out.
for _ in $(seq 60); do apt-get update && break; sleep 5; done
apt-get install -y --no-install-recommends docker.io docker-compose-v2 jq curl
snap install aws-cli --classic
install -d -m 0755 /etc/options-bot /opt/options-bot
cat > /etc/options-bot/host.env <<ENV
AWS_DEFAULT_REGION=${region}
BOT_NAME=${name}
BOT_BUCKET=${bucket}
ENV
cat > /etc/systemd/system/options-bot.service <<'UNIT'
[Unit]
Description=Trading bot: fetch what was deployed, start the containers
After=docker.service network-online.target
Wants=network-online.target
Requires=docker.service
[Service]
Type=oneshot
RemainAfterExit=yes
EnvironmentFile=/etc/options-bot/host.env
Environment=PATH=/snap/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/bin/bash -c 'aws s3 sync --delete --only-show-errors "s3://$BOT_BUCKET/deploy/" /opt/options-bot/ && bash /opt/options-bot/infra/host/up.sh'
ExecStop=/bin/bash /opt/options-bot/infra/host/down.sh
TimeoutStartSec=600
TimeoutStopSec=120
Restart=on-failure
RestartSec=30
[Install]
WantedBy=multi-user.target
UNIT
cat > /etc/systemd/system/options-bot-heartbeat.service <<'UNIT'
[Unit]
Description=Tell CloudWatch that the bot lives
[Service]
Type=oneshot
EnvironmentFile=/etc/options-bot/host.env
Environment=PATH=/snap/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/bin/bash /opt/options-bot/infra/host/heartbeat.sh
UNIT
cat > /etc/systemd/system/options-bot-heartbeat.timer <<'UNIT'
[Unit]
Description=Every minute
[Timer]
OnBootSec=60
OnUnitActiveSec=60
AccuracySec=1
[Install]
WantedBy=timers.target
UNIT
systemctl daemon-reload
systemctl enable --now options-bot-heartbeat.timer
systemctl enable options-bot.service
systemctl start --no-block options-bot.service
