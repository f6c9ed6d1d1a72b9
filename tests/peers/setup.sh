#!/usr/bin/env bash
# Makes .deps/peers, the Python environment of the peers (about 4.9 GB, minutes the first time).
# A second run finds it complete and does nothing. Usage: tests/peers/setup.sh [--python]
# --python prints the interpreter on standard output, for scripts.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
environment=$(cd "$here/../.." && pwd)/.deps/peers
requirements=$here/requirements.txt
vocabularies=$here/vocabularies.txt  # packages for the files that they ship: put aside, nothing imports them
complete=$environment/installed-requirements.txt  # written last: what has no such file is not there
log=$environment/pip.log
needed_gibibytes=8

fail() {
  echo "tests/peers/setup.sh: $1" >&2
  exit 3
}

install() {
  command -v python3 >/dev/null || fail "python3 not found: apt-get install python3 python3-venv"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$(python3 --version) found, 3.11 or newer needed"
  mkdir -p "$environment" || fail "cannot create $environment"
  local free_gibibytes
  free_gibibytes=$(($(df --output=avail -k "$environment" | tail -1) / 1048576))
  ((free_gibibytes >= needed_gibibytes)) ||
    fail "$free_gibibytes GB free at $environment, $needed_gibibytes GB needed"
  python3 -m venv "$environment" >"$log" 2>&1 ||
    fail "python3 -m venv failed (see $log): apt-get install python3-venv"
  echo "tests/peers/setup.sh: installing $(paste -sd' ' "$requirements")" >&2
  "$environment/bin/pip" install --disable-pip-version-check --requirement "$requirements" \
    >>"$log" 2>&1 || fail "pip failed: $(grep -m1 '^ERROR' "$log" || tail -1 "$log") (see $log)"
  rm -rf "$environment/vocabularies"
  "$environment/bin/pip" install --disable-pip-version-check --no-deps --target "$environment/vocabularies" \
    --requirement "$vocabularies" >>"$log" 2>&1 || fail "pip failed: $(grep -m1 '^ERROR' "$log" || tail -1 "$log") (see $log)"
  cat "$requirements" "$vocabularies" >"$complete"
}

cat "$requirements" "$vocabularies" | cmp --silent - "$complete" || install
if [[ ${1:-} == --python ]]; then
  echo "$environment/bin/python"
fi
