#!/usr/bin/env bash
# Set-up, build, and every test that this machine can run. The last line is "N passed, N failed".
set -euo pipefail

readonly known_groups=(unit distributed integration faults slurm sanitizers fuzz cuda other)
# Rooms whose tests need no LibTorch; the first list runs under AddressSanitizer and UBSan, the second
# under ThreadSanitizer.
readonly address_targets=(unit_base unit_config unit_files unit_data unit_communicator unit_placement
  unit_metrics unit_report unit_checkpoint unit_exchange unit_tasks unit_launcher unit_watchdog unit_coordinator unit_coordinator_wire unit_exporter)
readonly thread_targets=(unit_communicator unit_metrics unit_watchdog unit_coordinator unit_exporter)

usage() {
  cat <<TEXT
usage: tests/run.sh [--group NAME]... [--full] [--gpu]
  --group NAME   only this group (default: all): ${known_groups[*]}
  --gpu          what needs a GPU, built with CUDA, and the groups asked for; fails where there is none
  --full         also every header by itself, and the whole program under AddressSanitizer (slow)
TEXT
}

fail() {
  printf 'run: %s\n' "$*" >&2
  exit 1
}

passed=0
failed=0
report=()
runner=()

# run_ctest GROUP FOLDER ARGUMENT...: counts what ctest says, and never trusts an empty run.
run_ctest() {
  local group=$1 folder=$2 code=0 total=0 bad=0 skipped output
  shift 2
  output=${folder}/run-${group}.log
  "${runner[@]}" ctest --test-dir "${folder}" --output-on-failure -j "$(nproc)" "$@" 2>&1 | tee "${output}" || code=$?
  if [[ $(<"${output}") =~ ([0-9]+)\ tests?\ failed\ out\ of\ ([0-9]+) ]]; then
    bad=${BASH_REMATCH[1]}
    total=${BASH_REMATCH[2]}
  fi
  skipped=$(grep -c '\*\*\*Skipped' "${output}" || true)
  if ((code != 0 && bad == 0)); then
    bad=1
    total=$((total + 1))
  fi
  count "${group}" $((total - bad - skipped)) "${bad}" "${skipped}"
}

# count GROUP PASSED FAILED SKIPPED
count() {
  passed=$((passed + $2))
  failed=$((failed + $3))
  group_total=$((group_total + $2 + $3 + $4))
  if (($4 > 0)); then
    printf 'run: %s: %s skipped\n' "$1" "$4"
  fi
}

# sanitize PRESET TARGET...: builds these tests with the preset and runs them.
sanitize() {
  local preset=$1 names
  shift
  if ! { cmake --preset "${preset}" && cmake --build --preset "${preset}" --target "$@"; }; then
    printf 'run: the %s build failed\n' "${preset}" >&2
    count sanitizers 0 1 0
    return
  fi
  names=$(IFS='|' && printf '%s' "$*")
  run_ctest "${preset}" "build-${preset}" -R "^(${names})\$"
}

# run_cuda GROUP: builds for GPUs in the same folder, where little differs, and runs what has this label.
run_cuda() {
  local was_on=0
  if grep -qsx 'HETMOE_CUDA:BOOL=ON' build/CMakeCache.txt; then
    was_on=1
  fi
  if timeout 1200 deploy/setup.sh --cuda --tests --target cuda_tests; then
    run_ctest "$1" build -L "^$1\$"
  else
    printf 'run: the CUDA build failed\n' >&2
    count "$1" 0 1 0
  fi
  # Who has a GPU goes on with it.
  if ((!was_on)) && [[ $1 == cuda ]]; then
    cmake --preset release -D HETMOE_CUDA=OFF >/dev/null && cmake --build --preset release --target hetmoe
  fi
}

run_group() {
  case $1 in
    unit | distributed | integration | faults | slurm) run_ctest "$1" build -L "^$1\$" ;;
    # A test without a group is run all the same.
    other) run_ctest other build -LE '^(unit|distributed|integration|faults|slurm|bench|cuda|gpu)$' ;;
    cuda | gpu) run_cuda "$1" ;;
    sanitizers)
      export UBSAN_OPTIONS=print_stacktrace=1
      sanitize asan "${address_targets[@]}"
      # ThreadSanitizer of GCC 12 does not start where addresses are randomised much; a container may
      # not allow to switch that off.
      if setarch "$(uname -m)" -R true 2>/dev/null; then
        runner=(setarch "$(uname -m)" -R)
      fi
      sanitize tsan "${thread_targets[@]}"
      runner=()
      ;;
    fuzz)
      if tests/fuzz/run.sh; then
        count fuzz "$(find tests/fuzz -name '*_fuzz.cpp' | wc -l)" 0 0
      else
        count fuzz 0 1 0
      fi
      ;;
    headers)
      # The dev preset has no precompiled header and one source per header.
      if cmake --preset dev && cmake --build --preset dev --target all benchmarks; then
        count headers 1 0 0
      else
        count headers 0 1 0
      fi
      ;;
    whole-program)
      # LibTorch and Open MPI keep what they allocate until the end.
      export ASAN_OPTIONS=detect_leaks=0
      if cmake --preset asan && cmake --build --preset asan; then
        run_ctest whole-program build-asan -L '^(unit|distributed)$'
      else
        count whole-program 0 1 0
      fi
      ;;
  esac
}

groups=()
full=0
gpu=0
while (($# > 0)); do
  case $1 in
    --full) full=1 ;;
    --gpu) gpu=1 ;;
    --group)
      (($# > 1)) || fail "--group needs a name: ${known_groups[*]}"
      [[ " ${known_groups[*]} " == *" $2 "* ]] || fail "no group '$2': ${known_groups[*]}"
      groups+=("$2")
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) fail "unknown option '$1' (--help lists them)" ;;
  esac
  shift
done
if ((${#groups[@]} == 0 && (full || !gpu))); then
  groups=("${known_groups[@]}")
fi
if ((full)); then
  groups+=(headers whole-program)
fi
if ((gpu)); then
  groups+=(gpu)
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ((gpu)); then
  source tests/gpu/require_gpu.sh
  require_gpu
fi
if [[ ${groups[*]} != gpu ]]; then
  deploy/setup.sh --tests || fail "set-up or build failed: no test ran"
fi
report+=("$(printf '%-14s %5d s' build "${SECONDS}")")

for group in "${groups[@]}"; do
  printf '\nrun: group %s\n' "${group}"
  start=${SECONDS}
  group_total=0
  before_passed=${passed}
  before_failed=${failed}
  run_group "${group}"
  report+=("$(printf '%-14s %5d s %5d passed %5d failed' "${group}" $((SECONDS - start)) \
    $((passed - before_passed)) $((failed - before_failed)))")
  if ((group_total == 0)) && [[ ${group} != other ]]; then
    printf 'run: group %s holds no test: that is a failure\n' "${group}" >&2
    failed=$((failed + 1))
  fi
done

printf '\n'
printf '%s\n' "${report[@]}"
printf '%s passed, %s failed\n' "${passed}" "${failed}"
((failed == 0 && passed > 0))
