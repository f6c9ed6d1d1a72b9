# shellcheck shell=bash
# For scripts that need a GPU: source it, then call require_gpu.

# Ends the script with one line where no GPU is to be seen: what needs one must not pass by running nothing.
require_gpu() {
  local listed
  if ! listed=$(nvidia-smi --list-gpus 2>&1) || [[ ${listed} != *GPU* ]]; then
    printf 'no GPU here: nvidia-smi %s\n' "$(command -v nvidia-smi >/dev/null && printf 'says "%s"' "${listed##*$'\n'}" ||
      printf 'is not installed')" >&2
    exit 1
  fi
}
