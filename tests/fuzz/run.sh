#!/usr/bin/env bash
# Builds all fuzzers (preset asan) and runs each on its corpus. What it finds new stays in build-asan/.
set -euo pipefail

usage() {
  cat <<TEXT
usage: tests/fuzz/run.sh [EXECUTIONS] [SUBJECT]...
  EXECUTIONS   inputs for each fuzzer (default 20000)
  SUBJECT      only these (default: all that have a file tests/fuzz/SUBJECT_fuzz.cpp)
An input that fails is named, and kept in build-asan/found/; run the fuzzer on it alone to see why.
TEXT
}

fail() {
  printf 'fuzz: %s\n' "$*" >&2
  exit 1
}

executions=20000
case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
  [0-9]*)
    [[ $1 =~ ^[1-9][0-9]*$ ]] || fail "EXECUTIONS is '$1', expected a positive integer"
    executions=$1
    shift
    ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
subjects=("$@")
if ((${#subjects[@]} == 0)); then
  for source in tests/fuzz/*_fuzz.cpp; do
    subjects+=("$(basename "${source}" _fuzz.cpp)")
  done
fi
for subject in "${subjects[@]}"; do
  [[ -e tests/fuzz/${subject}_fuzz.cpp ]] || fail "no fuzzer of '${subject}' in tests/fuzz"
done

command -v clang++ >/dev/null || fail "clang++ not found: run deploy/setup.sh"
cmake --preset asan >/dev/null || fail "cmake could not configure"
cmake --build --preset asan --target "${subjects[@]/%/_fuzz}" || fail "the build failed"

# Same inputs in every run: the seed is fixed and the corpus is the one in the tree.
fuzz() {
  local subject=$1 grown=build-asan/corpus/$1 log=build-asan/$1.log
  local corpus=tests/fuzz/corpus/${subject}
  rm -rf "${grown}" "${log}"
  [[ -n $(ls "${corpus}" 2>/dev/null) ]] || { printf 'fuzz: %s is empty\n' "${corpus}" >&2; return 1; }
  mkdir -p "${grown}" build-asan/found
  if ! "build-asan/${subject}_fuzz" -runs="${executions}" -seed=1 -max_len=4096 -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="build-asan/found/${subject}-" "${grown}" "${corpus}" >"${log}" 2>&1; then
    grep -E '^(==[0-9]+== *ERROR|SUMMARY|artifact_prefix)|runtime error|what\(\)' "${log}" >&2 || tail -n 5 "${log}" >&2
    return 1
  fi
}

# A line of the table: executions are libFuzzer's own count, of a failed one the last it told.
row() {
  local subject=$1 result=$2 seconds=$3 done_so_far
  done_so_far=$(sed -nE 's/^(Done |#)([0-9]+).*/\2/p' "build-asan/${subject}.log" 2>/dev/null | tail -n 1)
  printf '%-20s %12s %9s %12s   %s\n' "${subject}" "${done_so_far:-0}" "${seconds}" \
    "$((${done_so_far:-0} / (seconds > 0 ? seconds : 1)))" "${result}"
}

failed=()
rows=()
for subject in "${subjects[@]}"; do
  printf 'fuzz: %s, %s executions\n' "${subject}" "${executions}"
  result=passed
  begin=${SECONDS}
  fuzz "${subject}" || { failed+=("${subject}") && result=FAILED; }
  rows+=("$(row "${subject}" "${result}" $((SECONDS - begin)))")
done
printf '%-20s %12s %9s %12s   %s\n' subject executions seconds 'per second' result
printf '%s\n' "${rows[@]}"
if ((${#failed[@]} > 0)); then
  fail "${#failed[@]} of ${#subjects[@]} failed: ${failed[*]} (logs: build-asan/SUBJECT.log)"
fi
printf 'fuzz: %s of %s passed\n' "${#subjects[@]}" "${#subjects[@]}"
