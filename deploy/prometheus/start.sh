#!/usr/bin/env bash
# Starts Prometheus on the runs in one or more run directories and prints where to look. Ends with it: Ctrl-C.
set -euo pipefail

usage() {
  cat <<TEXT
usage: deploy/prometheus/start.sh [--listen HOST:PORT] [--interval TIME] [--data DIR] RUN_DIR...
  --listen HOST:PORT   where Prometheus answers (default 127.0.0.1:9090)
  --interval TIME      between two scrapes (default 5s)
  --data DIR           its database (default: RUN_DIR/prometheus/data of the first run)
Finds ranks and coordinator in RUN_DIR/prometheus/targets.json, whenever a run writes it; shows /consoles/hetmoe.html
and the alerts of alerts.yml. Needs the package prometheus (apt-get install prometheus).
TEXT
}

fail() {
  printf 'prometheus: %s\n' "$*" >&2
  exit 2
}

listen=127.0.0.1:9090
interval=5s
data=
runs=()
while (($# > 0)); do
  case $1 in
    --listen | --interval | --data)
      (($# > 1)) || fail "$1 needs a value"
      declare "${1#--}=$2"
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    -*) fail "unknown option '$1' (--help lists them)" ;;
    *) runs+=("$1") ;;
  esac
  shift
done
((${#runs[@]} > 0)) || fail "no run directory given (--help)"
[[ ${interval} =~ ^[0-9]+(ms|s|m)$ ]] || fail "--interval is '${interval}', allowed: such as 500ms, 5s, 1m"
[[ ${listen} =~ ^[^:]+:[0-9]+$ ]] || fail "--listen is '${listen}', allowed: HOST:PORT"
command -v prometheus >/dev/null || fail "no prometheus here: apt-get install prometheus"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# A name as a string of YAML: everything but a backslash and a quote stands for itself.
quoted() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

configuration() {
  local run
  printf 'global: {scrape_interval: %s, scrape_timeout: %s, evaluation_interval: %s}\n' \
    "${interval}" "${interval}" "${interval}"
  printf 'rule_files: [%s, %s]\n' "$(quoted "${here}/rules.yml")" "$(quoted "${here}/alerts.yml")"
  printf 'scrape_configs:\n'
  for run in "${runs[@]}"; do
    run=$(cd "${run}" && pwd)
    printf '  - job_name: %s\n' "$(quoted "hetmoe-${run}")"
    printf '    file_sd_configs: [{files: [%s], refresh_interval: 10s}]\n' "$(quoted "${run}/prometheus/targets.json")"
    printf '    relabel_configs: [{target_label: job, replacement: hetmoe}]\n'
    # A run that others can reach makes these when it starts.
    if [[ -e ${run}/prometheus/token ]]; then
      printf '    authorization: {credentials_file: %s}\n' "$(quoted "${run}/prometheus/token")"
    fi
    if [[ -e ${run}/prometheus/certificate.pem ]]; then
      printf '    tls_config: {ca_file: %s, server_name: hetmoe-coordinator}\n' "$(quoted "${run}/prometheus/certificate.pem")"
    fi
  done
}

for run in "${runs[@]}"; do
  [[ -d ${run} || -d $(dirname "${run}") ]] || fail "'${run}' is no folder, nor is there one to make it in"
  [[ -d ${run} ]] || printf 'prometheus: no run in %s yet; it is shown when it starts\n' "${run}"
  mkdir -p "${run}/prometheus" 2>/dev/null || fail "cannot write into '${run}'"
done
first=$(cd "${runs[0]}" && pwd)/prometheus
data=${data:-${first}/data}
configuration >"${first}/prometheus.yml"
if (exec 3<>"/dev/tcp/${listen%:*}/${listen##*:}") 2>/dev/null; then
  fail "${listen} is taken"
fi

prometheus --config.file="${first}/prometheus.yml" --storage.tsdb.path="${data}" \
  --web.listen-address="${listen}" --web.console.templates="${here}/consoles" \
  --web.console.libraries="${here}/consoles" --log.level=warn &
readonly server=$!
trap 'kill -TERM "${server}" 2>/dev/null || true' INT TERM HUP
for ((i = 0; i < 300; ++i)); do
  if (exec 3<>"/dev/tcp/${listen%:*}/${listen##*:}") 2>/dev/null && kill -0 "${server}" 2>/dev/null; then
    printf 'prometheus: http://%s/consoles/hetmoe.html   alerts: http://%s/alerts\n' "${listen}" "${listen}"
    break
  fi
  kill -0 "${server}" 2>/dev/null || fail "Prometheus has ended: is ${listen} taken? (its reason is above)"
  sleep 0.1
done
# Token and certificate of a run that starts, or ends, later.
follow_runs() {
  while sleep 2; do
    configuration >"${first}/prometheus.yml.new"
    if cmp -s "${first}/prometheus.yml.new" "${first}/prometheus.yml"; then
      rm -f "${first}/prometheus.yml.new"
    else
      mv "${first}/prometheus.yml.new" "${first}/prometheus.yml"
      kill -HUP "${server}"
    fi
  done
}
follow_runs &
readonly follower=$!
while kill -0 "${server}" 2>/dev/null; do
  wait "${server}" && code=0 || code=$?
done
kill "${follower}" 2>/dev/null || true
exit "${code:-0}"
