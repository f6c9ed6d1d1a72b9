#!/usr/bin/env bash
# From a fresh clone to a trained mixture of unequal experts: set-up, build, real English text, two ranks.
set -euo pipefail

readonly ranks=2
readonly config=configs/tiny.yaml
readonly dictionary=/usr/share/dictd/gcide.dict.dz
readonly own_text=${HETMOE_TEXT:-} # plain text to train on instead
readonly text=data/gcide.txt
readonly shards=data/gcide
readonly prompt='Ocean'
readonly prepare_options=(--out "${shards}" --train-vocabulary 2048 --document-separator unindented-line)

usage() {
  cat <<TEXT
usage: launcher/quickstart.sh [LAUNCH OPTION]...
Sets this machine up, builds, prepares the text of the GCIDE dictionary and trains ${config} on ${ranks} ranks.
HETMOE_TEXT=FILE takes that plain text instead; HETMOE_NO_ROOT=1 installs nothing (deploy/cluster).
What is there already is left alone. Options are passed on to 'hetmoe launch', for example:
  --set train.steps=100        a shorter run
  --run-dir DIR                where its files go (default: a new folder under runs/)
TEXT
}

say() { printf 'quickstart: %s\n' "$*"; }
fail() {
  printf 'quickstart: %s\n' "$*" >&2
  exit 1
}

timed() {
  local name=$1 start=${SECONDS}
  shift
  "$@"
  say "${name}: $((SECONDS - start)) s"
}

set_up() {
  deploy/setup.sh --target hetmoe --target hetmoe-sentencepiece
}

# The stamp is written last and holds the options: shards without it are half made or made otherwise.
prepare_text() {
  local stamp=${shards}/prepared
  local made_from="${prepare_options[*]}${own_text:+ ${own_text}}"
  if [[ -r ${stamp} && $(<"${stamp}") == "${made_from}" ]]; then
    return
  fi
  if [[ -n ${own_text} ]]; then
    [[ -r ${own_text} ]] || fail "cannot read HETMOE_TEXT '${own_text}'"
  else
    [[ -r ${dictionary} ]] || fail "no text at ${dictionary}: install the package dict-gcide, or name one: HETMOE_TEXT=FILE"
  fi
  rm -rf "${shards}"
  mkdir -p data
  if [[ -n ${own_text} ]]; then
    build/hetmoe data prepare "${own_text}" "${prepare_options[@]}"
  else
    gzip -dc <"${dictionary}" >"${text}"
    build/hetmoe data prepare "${text}" "${prepare_options[@]}"
    rm -f "${text}"
  fi
  printf '%s\n' "${made_from}" >"${stamp}"
}

train() {
  build/hetmoe launch "${config}" --ranks "${ranks}" "$@"
}

# What the model says now, when a checkpoint was saved.
sample() {
  if compgen -G "${run_dir}/checkpoints/*/COMMITTED" >/dev/null; then
    printf '\n'
    build/hetmoe generate "${run_dir}" --prompt "${prompt}" --max-tokens 60 --temperature 0.7
  fi
}

run_dir=
previous=
for argument in "$@"; do
  if [[ ${argument} == -h || ${argument} == --help ]]; then
    usage
    exit 0
  fi
  if [[ ${previous} == --run-dir ]]; then
    run_dir=${argument}
  elif [[ ${argument} == --run-dir=* ]]; then
    run_dir=${argument#--run-dir=}
  fi
  previous=${argument}
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
timed "set-up and build" set_up
timed "text" prepare_text
if [[ -z ${run_dir} ]]; then
  run_dir=runs/quickstart-$(date -u +%Y%m%d-%H%M%S)-$$
  set -- "$@" --run-dir "${run_dir}"
fi
timed "training on ${ranks} ranks" train "$@"
sample
say "all of it: ${SECONDS} s"
