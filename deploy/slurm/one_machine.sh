#!/usr/bin/env bash
# A Slurm of two nodes on this machine, to try batch scripts and to test with: no systemd, no cgroups,
# nothing outside FOLDER, nothing left running after stop.
set -euo pipefail

readonly wait_seconds=60
readonly longest_socket_path=100 # the system's limit is 107 bytes

usage() {
  cat <<TEXT
usage: one_machine.sh start FOLDER [PROCESS]
       one_machine.sh stop|status FOLDER
       one_machine.sh lose|bring FOLDER NODE
  start    nodes n1 and n2; FOLDER must be absent or hold nothing but log/; then
           SLURM_CONF=FOLDER/slurm.conf sbatch ...; stops by itself when PROCESS has ended
  stop     ends jobs and daemons; FOLDER keeps log/
  status   what sinfo says; ends with 1 when nothing runs
  lose     kills the daemon of NODE with all that its jobs run, as a power failure would
  bring    starts the daemon of NODE again
TEXT
}

fail() {
  printf 'one_machine: %s\n' "$*" >&2
  exit 1
}

require_packages() {
  local program missing=()
  for program in slurmctld slurmd munged sbatch scancel sinfo python3; do
    command -v "${program}" >/dev/null || missing+=("${program}")
  done
  ((${#missing[@]} == 0)) ||
    fail "not installed: ${missing[*]}; deploy/setup.sh --tests installs them (slurmctld slurmd slurm-client munge)"
}

# until_true WHAT COMMAND...: asks again and again, up to a bound.
until_true() {
  local what=$1 end=$((SECONDS + wait_seconds))
  shift
  until "$@"; do
    ((SECONDS < end)) || fail "${what} after ${wait_seconds} s; see ${folder}/log"
    sleep 0.1
  done
}

free_ports() {
  python3 - <<'PYTHON'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(opened.getsockname()[1] for opened in sockets))
PYTHON
}

write_configuration() {
  local host ports
  host=$(hostname -s)
  read -r -a ports < <(free_ports)
  cat >"${folder}/slurm.conf" <<TEXT
ClusterName=one_machine
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
# A requeued job does not start before the credentials of its last start have expired.
AuthInfo=cred_expire=5,socket=${folder}/munge/socket
CredType=cred/munge
SlurmctldPidFile=${folder}/run/slurmctld.own
SlurmdPidFile=${folder}/run/%n.own
SlurmctldLogFile=${folder}/log/slurmctld.log
SlurmdLogFile=${folder}/log/%n.log
StateSaveLocation=${folder}/state
SlurmdSpoolDir=${folder}/spool/%n
# One per node: the PMIx plugins of two nodes would take each other's folders.
TmpFS=${folder}/tmp/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
JobRequeue=1
KillWait=10
ReturnToService=2
SlurmctldTimeout=15
SlurmdTimeout=10
SchedulerParameters=batch_sched_delay=1,sched_interval=5
NodeName=n1 NodeHostName=${host} NodeAddr=127.0.0.1 Port=${ports[1]} CPUs=4 RealMemory=4000
NodeName=n2 NodeHostName=${host} NodeAddr=127.0.0.1 Port=${ports[2]} CPUs=4 RealMemory=4000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=n1,n2 MaxTime=INFINITE State=UP PriorityTier=2
TEXT
}

# daemon NAME COMMAND...: in a session of its own.
daemon() {
  local name=$1
  shift
  setsid "$@" </dev/null >"${folder}/log/${name}.out" 2>&1 &
}

start_node() { SLURM_CONF=${folder}/slurm.conf daemon "$1" slurmd -D -N "$1" -f "${folder}/slurm.conf"; }

both_nodes_idle() {
  [[ $(sinfo --noheader --Node --partition=all --format '%N %t' 2>/dev/null) == $'n1 idle\nn2 idle' ]]
}

start() {
  require_packages
  local name watched=${1:-}
  [[ -z ${watched} || ${watched} =~ ^[0-9]+$ && -e /proc/${watched} ]] || fail "process '${watched}': a running one's number"
  mkdir -p "${folder}"
  [[ -z $(ls -A --ignore=log "${folder}") ]] || fail "folder ${folder} is not empty: stop what runs there, or name another"
  ((${#folder} + 13 <= longest_socket_path)) ||
    fail "folder ${folder} has ${#folder} bytes: sockets there allow $((longest_socket_path - 13))"
  mkdir -p "${folder}"/{log,run,state,munge,spool/n1,spool/n2,tmp/n1,tmp/n2}
  chmod 700 "${folder}/munge"
  write_configuration
  trap 'stop >/dev/null 2>&1 || true' EXIT
  (umask 077 && head -c 128 /dev/urandom >"${folder}/munge/key")
  # A munged of its own: another cluster's, or none, may run here. --force: the folder may be private.
  daemon munged munged --foreground --force --num-threads=2 --key-file="${folder}/munge/key" \
    --socket="${folder}/munge/socket" --pid-file="${folder}/munge/pid" \
    --log-file="${folder}/log/munged.log" --seed-file="${folder}/munge/seed"
  until_true "munged does not listen" test -S "${folder}/munge/socket"
  daemon slurmctld slurmctld -D -c -f "${folder}/slurm.conf"
  for name in n1 n2; do start_node "${name}"; done
  until_true "the nodes are not idle" both_nodes_idle
  trap - EXIT
  if [[ -n ${watched} ]]; then
    daemon watch "$(realpath "$0")" watch "${folder}" "${watched}"
  fi
  printf 'export SLURM_CONF=%s\n' "${folder}/slurm.conf"
}

is_alive() { [[ -r /proc/$1/stat && $(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) != [ZX] ]]; }

# The process of a daemon, by what it was started with: FOLDER itself may have been removed meanwhile.
process_of() {
  local escaped words
  # shellcheck disable=SC2001
  escaped=$(sed 's/[][\.*^$+?(){}|]/\\&/g' <<<"${folder}")
  case $1 in
    munged) words="^munged .*--socket=${escaped}/munge/socket " ;;
    slurmctld) words="^slurmctld .*-f ${escaped}/slurm.conf$" ;;
    watch) words="/one_machine.sh watch ${escaped} [0-9]+$" ;;
    *) words="^slurmd -D -N $1 -f ${escaped}/slurm.conf$" ;;
  esac
  pgrep --oldest --full "${words}"
}

# Step daemons outlive their node's daemon. Theirs is the one that holds the node's log open.
step_daemons() {
  local process
  for process in $(pgrep slurmstepd); do
    if find "/proc/${process}/fd" -lname "${folder}/log/$1.log*" 2>/dev/null | grep -q .; then
      printf '%s\n' "${process}"
    fi
  done
}

descendants() {
  local child
  local -a children
  read -r -a children < <(cat /proc/"$1"/task/*/children 2>/dev/null) || true
  for child in "${children[@]}"; do
    printf '%s\n' "${child}"
    descendants "${child}"
  done
}

# lose NODE...: the tree of every step daemon is listed before anything dies, or it falls apart.
lose() {
  local node process doomed=()
  for node; do
    process=$(process_of "${node}") && doomed+=("${process}")
    for process in $(step_daemons "${node}"); do
      mapfile -t -O "${#doomed[@]}" doomed < <(printf '%s\n' "${process}" && descendants "${process}")
    done
  done
  for process in "${doomed[@]}"; do kill -KILL "${process}" 2>/dev/null || true; done
  for process in "${doomed[@]}"; do until_true "process ${process} lives" is_dead "${process}"; done
}

is_dead() { ! is_alive "$1"; }

# Nobody has to wait for a process any more; the watch itself may be what stops.
end_watch() {
  local process
  process=$(process_of watch) || return 0
  if [[ ${process} != "$$" ]]; then kill -TERM -- -"${process}"; fi
}

watch() {
  tail --pid="$1" --follow /dev/null
  stop
}

stop() {
  local name process
  [[ -e ${folder}/slurm.conf ]] || process_of slurmctld >/dev/null || fail "no Slurm of this script in ${folder}"
  end_watch
  if [[ -e ${folder}/slurm.conf ]]; then
    timeout 20 scancel --quiet --state=PENDING >/dev/null 2>&1 || true
  fi
  lose n1 n2
  for name in slurmctld munged; do
    process=$(process_of "${name}") || continue
    kill -TERM "${process}"
    until_true "${name} does not end" is_dead "${process}"
  done
  rm -rf "${folder:?}"/{slurm.conf,run,state,munge,spool,tmp}
}

status() {
  process_of slurmctld >/dev/null || fail "no Slurm runs in ${folder}"
  timeout 20 sinfo
}

(($# >= 2)) || {
  usage >&2
  exit 2
}
readonly command=$1
folder=$(realpath -m "$2")
readonly folder
export SLURM_CONF=${folder}/slurm.conf
case ${command} in
  start) start "${3:-}" ;;
  watch) watch "$3" ;; # what start leaves behind for PROCESS
  stop | status) "${command}" ;;
  lose | bring)
    [[ ${3:-} == n[12] ]] || fail "node '${3:-}': n1 or n2"
    if [[ ${command} == lose ]]; then lose "$3"; else start_node "$3"; fi
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac
