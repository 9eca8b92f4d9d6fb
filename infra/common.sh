# Shared by the scripts beside it (sourced, not run): saying, asking, doing.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
infra=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$infra")
yes=false
dry=false

fail() { printf '%s: %s\n' "$(basename "$0")" "$1" >&2; exit "${2:-1}"; }

need() {
  local program
  for program in "$@"; do
    command -v "$program" > /dev/null || fail "$program is not installed; docs/deploy.md, Before you begin" 2
  done
}

# Say what comes, then ask unless --yes.
plan() {
  printf 'This will:\n'
  printf '  - %s\n' "$@"
  if $dry; then printf '(dry run: nothing is done)\n'; return; fi
  $yes && return
  local answer=
  read -r -p "Go on? Type yes: " answer || true
  [ "$answer" = yes ] || fail "nothing was done"
}

# Show a command and run it, unless dry.
run() {
  printf '+ %s\n' "$*"
  $dry || "$@"
}

tf() { terraform -chdir="$infra/terraform" "$@"; }

# An output of Terraform; its name in capitals when dry, for nothing may exist yet.
output() {
  if $dry; then printf '%s' "$1" | tr '[:lower:]' '[:upper:]'; else tf output -raw "$1"; fi
}

# Between 08:45 and 15:45 IST on weekdays the bot may hold a position.
market_hours() {
  local now
  now=$(TZ=Asia/Kolkata date +%u%H%M)
  [ "${now:0:1}" -le 5 ] && [ "$((10#${now:1}))" -ge 845 ] && [ "$((10#${now:1}))" -lt 1545 ]
}
