#!/usr/bin/env bash
# Prints one JSON line per measurement: run.sh [--gpu] [ROUNDS (3)]. Run it on an otherwise idle machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly python=${HETMOE_PYTHON:-/usr/bin/python3}
gpu=0
if [[ ${1:-} == --gpu ]]; then
  gpu=1
  shift
fi
readonly rounds=${1:-3}
if [[ ! ${rounds} =~ ^[1-9][0-9]*$ ]]; then
  printf 'usage: tests/bench/run.sh [--gpu] [ROUNDS]\n' >&2
  exit 2
fi

if ((gpu)); then
  source tests/gpu/require_gpu.sh
  require_gpu
  deploy/setup.sh --cuda --target hetmoe --target benchmarks --target hetmoe_host_waits >&2
  peer=()
  if found=$(tests/peers/setup.sh --python); then
    peer=(--peer "${found}")
  fi
  exec "${python}" -B tests/bench/on_gpu.py --rounds "${rounds}" "${peer[@]}"
fi

scratch=$(mktemp -d)
trap 'rm -rf "${scratch}"' EXIT
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

deploy/setup.sh --target hetmoe --target benchmarks >&2

# Median over the steps after the second of one run.
medians() {
  "${python}" - "$1" "$2" <<'PYTHON'
import json
import statistics
import sys

name, folder = sys.argv[1:]
with open(f"{folder}/metrics.jsonl") as lines:
    steps = [json.loads(line) for line in lines][2:]
print(json.dumps({
    "case": name,
    "tokens_per_second": statistics.median(s["tokens_per_second"] for s in steps),
    "gflops_per_second": statistics.median(s["model_flops_per_second"] for s in steps) / 1e9,
    "flops_max_over_mean": statistics.mean(s["flops_max_over_mean"] for s in steps),
}))
PYTHON
}

train() {
  local name=$1 ranks=$2
  shift 2
  local folder
  folder=${scratch}/${name// /_}_${RANDOM}
  mpirun --map-by :OVERSUBSCRIBE --bind-to core -np "${ranks}" build/hetmoe train tests/bench/end_to_end.yaml \
    --run-dir "${folder}" "$@" >/dev/null
  medians "${name}" "${folder}"
}

build/hetmoe_plan_bench
for ((round = 0; round < rounds; ++round)); do
  build/hetmoe_layer_bench 1
  build/hetmoe_kernel_bench 1
  build/hetmoe_hyper_bench 1
  train "end to end bf16 1 rank" 1
  train "end to end bf16 2 ranks" 2
  mpirun --map-by :OVERSUBSCRIBE --bind-to core -np 2 build/hetmoe_update_bench
  train "end to end fp32 1 rank" 1 --set train.precision=fp32
done
"${python}" -B tests/bench/growth.py --rounds "${rounds}"
if [[ -x .deps/peers/bin/python ]]; then
  "${python}" -B tests/bench/beside_peers.py --rounds "${rounds}"
fi
