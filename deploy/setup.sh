#!/usr/bin/env bash
# Makes this machine able to build and run hetmoe: Debian packages, LibTorch and tokenizers in .deps/, build in build/.
# Run it as often as you like: what is there is left alone.
set -euo pipefail

readonly torch_version=2.11.0
readonly torch_packages=("torch==${torch_version}" nvidia-cuda-runtime==13.0.96
  nvidia-cuda-cupti==13.0.85)
# NCCL newer than LibTorch's own choice: several ranks on one GPU need 2.30.3.
readonly cuda_packages=("cuda-toolkit[cublas,cudart,cufft,cufile,cupti,curand,cusolver,cusparse,nvjitlink,nvrtc,nvtx]==13.0.2"
  nvidia-cudnn-cu13==9.19.0.56 nvidia-cusparselt-cu13==0.8.0 nvidia-nccl-cu13==2.30.7 nvidia-nvshmem-cu13==3.4.5
  nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-cuda-cccl==13.0.85)
# Its headers alone: what it depends on is for Python.
readonly cutlass_package=nvidia-cutlass==4.2.0.0
# Hugging Face's tokenizers for hetmoe-huggingface-tokenizer; what it depends on is for downloads.
readonly tokenizers_package=tokenizers==0.23.3
debian_packages=(
  g++ cmake ninja-build ccache mold pkg-config python3 python3-venv
  libopenmpi-dev openmpi-bin libyaml-cpp-dev libcli11-dev nlohmann-json3-dev libspdlog-dev
  libxxhash-dev zlib1g-dev libzstd-dev coinor-libcbc-dev libsentencepiece-dev sentencepiece
  libgrpc++-dev libssl-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev prometheus-cpp-dev libcpp-httplib-dev
  libgtest-dev libgmock-dev libbenchmark-dev clang libclang-rt-dev
  dict-gcide zstd)
# What hetmoe is tried against: real daemons and a real browser.
readonly peer_packages=(prometheus slurmctld slurmd slurm-client munge chromium-headless-shell)
readonly torch_disk_mebibytes=4096
readonly cuda_disk_mebibytes=6144
readonly build_disk_mebibytes=1024
# Program, and the Debian package that has it.
readonly build_programs=(c++:g++ cmake:cmake ninja:ninja-build pkg-config:pkg-config protoc:protobuf-compiler
  grpc_cpp_plugin:protobuf-compiler-grpc mpicc:libopenmpi-dev mpirun:openmpi-bin)

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly project
readonly dependencies=${project}/.deps
readonly environment=${dependencies}/python
readonly stamp=${environment}/hetmoe-stamp
readonly cuda_stamp=${environment}/hetmoe-cuda-stamp
readonly tokenizers=${dependencies}/tokenizers
readonly log=${dependencies}/setup.log
readonly python=${HETMOE_PYTHON:-/usr/bin/python3}

usage() {
  cat <<TEXT
usage: deploy/setup.sh [--no-root] [--cuda] [--no-build] [--tests] [--target NAME]...
  --no-root       install nothing but LibTorch and tokenizers in .deps: libraries come from CMAKE_PREFIX_PATH, MPI from
                  PATH; what is missing is listed
  --cuda          for GPUs: CUDA's compiler and libraries in .deps as well (3 GB); the driver is not installed
  --no-build      packages, LibTorch and tokenizers only
  --tests         also the programs that the tests run against: ${peer_packages[*]}
  --target NAME   build this target only (default: everything, tests included)
environment:
  HETMOE_NO_ROOT=1             as --no-root, also for what calls this script
  HETMOE_PYTHON=FILE           Python 3.10 or newer for .deps/python (default /usr/bin/python3)
  HETMOE_SKIP_SYSTEM_CHECK=1   go on where the system is not a supported one
TEXT
}

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

# What the log says went wrong, in one line, and what to do.
reason() {
  local offline='resolve|unreachable|refused|timed out|Failed to fetch|Max retries|ProxyError'
  offline+='|Network|No matching distribution|Unable to locate package|no installation candidate'
  if grep -aqi 'No space left' "${log}"; then
    printf 'the disk is full: free some and run this again'
  elif grep -aqiE "${offline}" "${log}"; then
    printf 'no network, or the package server does not answer: connect and run this again'
  else
    grep -aE '^(E:|ERROR:|Error:)' "${log}" | tail -n 1 || tail -n 1 "${log}" || true
  fi
}

require_disk() {
  local needed=$1 what=$2 available
  available=$(df --output=avail -BM "${project}" | tail -n 1 | tr -dc '0-9')
  if ((available < needed)); then
    fail "${what} needs ${needed} MiB in ${project}, ${available} MiB are free: free some, or clone to a larger disk"
  fi
}

check_system() {
  local os_release=${HETMOE_OS_RELEASE:-/etc/os-release} system=unknown machine
  if [[ -r ${os_release} ]]; then
    # shellcheck source=/dev/null
    system=$(. "${os_release}" && printf '%s %s' "${ID:-unknown}" "${VERSION_ID:-}")
  fi
  machine=$(uname -m)
  if [[ ${HETMOE_SKIP_SYSTEM_CHECK:-0} == 1 ]]; then
    return
  fi
  if [[ ${machine} != x86_64 ]]; then
    fail "processor ${machine} is not supported (x86_64 is); HETMOE_SKIP_SYSTEM_CHECK=1 goes on all the same"
  fi
  case ${system} in
    "debian 12") ;;
    "ubuntu 24.04") say "Ubuntu 24.04 is untested" ;;
    *) fail "system '${system}' is not supported (Debian 12 is); HETMOE_SKIP_SYSTEM_CHECK=1 goes on all the same" ;;
  esac
}

missing_packages() {
  local package
  local -A installed=()
  while read -r package; do
    installed[${package}]=1
  done < <(dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' 2>/dev/null |
    sed -n 's/^\([^ :]*\)\(:[^ ]*\)\{0,1\} installed$/\1/p')
  for package in "${debian_packages[@]}"; do
    [[ -n ${installed[${package}]:-} ]] || printf '%s\n' "${package}"
  done
}

# Descriptor 9 is the lock: a service that a package starts must not keep it.
as_root() {
  if ((EUID == 0)); then
    "$@" 9>&-
  elif [[ -t 0 ]]; then
    sudo "$@" 9>&-
  else
    sudo -n "$@" 9>&-
  fi
}

install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "no apt-get here: these must be installed by hand: ${debian_packages[*]}"
    return
  fi
  local missing
  mapfile -t missing < <(missing_packages)
  if ((${#missing[@]} == 0)); then
    return
  fi
  if ((EUID != 0)) && ! command -v sudo >/dev/null; then
    fail "no sudo here; as root run: apt-get install --no-install-recommends ${missing[*]}"
  fi
  if ((EUID != 0)) && [[ ! -t 0 ]] && ! sudo -n true 2>/dev/null; then
    fail "sudo asks for a password; in a terminal run: sudo apt-get install --no-install-recommends ${missing[*]}"
  fi
  say "installing ${#missing[@]} packages: ${missing[*]}"
  # A failed update is not the end: the lists that are there may do.
  as_root apt-get -q update >"${log}" 2>&1 || true
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
    install --no-install-recommends "${missing[@]}" >>"${log}" 2>&1 ||
    fail "apt-get could not install ${missing[*]}: $(reason) (log: ${log})"
}

# "the version as CMake writes it" is at least the one of cmake_minimum_required.
cmake_is_new_enough() {
  [[ $(cmake --version 2>/dev/null) =~ ([0-9]+)\.([0-9]+) ]] &&
    ((BASH_REMATCH[1] > 3 || (BASH_REMATCH[1] == 3 && BASH_REMATCH[2] >= 25)))
}

missing_programs() {
  local program
  for program in "${build_programs[@]}"; do
    command -v "${program%%:*}" >/dev/null || printf '%s (Debian: %s)\n' "${program%%:*}" "${program##*:}"
  done
  if command -v cmake >/dev/null && ! cmake_is_new_enough; then
    printf 'cmake 3.25 or newer (also: pip install cmake)\n'
  fi
  "${python}" -c 'import venv, ensurepip' 2>/dev/null || printf 'python3 with venv at %s (or HETMOE_PYTHON)\n' "${python}"
}

# Only CMake knows where libraries are found. It stops at LibTorch, which may not be there yet.
missing_libraries() {
  local probe=${dependencies}/probe output
  output=$(cmake -S "${project}" -B "${probe}" -G Ninja "${cmake_options[@]}" 2>&1 | tr -s '\n ' ' ') || true
  rm -rf "${probe}"
  if [[ ${output} == *"missing libraries: "* ]]; then
    output=${output#*missing libraries: }
    printf '%s\n' "${output%% Call Stack*}"
  elif [[ ${output} == *"CMake Error"* && ${output} != *"LibTorch not found"* ]]; then
    printf '(cmake: %s)\n' "${output#*CMake Error}"
  fi
}

# Nothing is installed here: everything that is missing, in one line.
require_everything() {
  local missing
  if torch_is_whole && [[ -e ${project}/build/build.ninja ]]; then
    return
  fi
  mapfile -t missing < <(missing_programs)
  if cmake_is_new_enough && command -v c++ >/dev/null && command -v ninja >/dev/null; then
    mapfile -t -O "${#missing[@]}" missing < <(missing_libraries)
  fi
  if ((${#missing[@]} > 0)); then
    fail "missing: $(IFS=, && printf '%s' "${missing[*]}" | sed 's/,\([^ ]\)/, \1/g'). Install it in a prefix, \
and name that in PATH and CMAKE_PREFIX_PATH"
  fi
}

torch_is_whole() {
  [[ -r ${stamp} && $(<"${stamp}") == "${torch_packages[*]}" ]] &&
    compgen -G "${environment}/lib/python3*/site-packages/torch/lib/libtorch_cpu.so" >/dev/null
}

install_torch() {
  if torch_is_whole; then
    return
  fi
  # The stamp is written last: without it the folder is half of an installation, or another version's.
  rm -rf "${environment}" "${dependencies}/tmp"
  require_disk "${torch_disk_mebibytes}" "LibTorch with the build"
  [[ -x ${python} ]] || fail "no Python at ${python}: install python3, or set HETMOE_PYTHON"
  "${python}" -m venv "${environment}" >"${log}" 2>&1 ||
    fail "${python} cannot make a virtual environment: install python3-venv, or set HETMOE_PYTHON (log: ${log})"
  say "installing LibTorch ${torch_version} into .deps (about 530 MB to download)"
  # Downloads are unpacked here and not in /tmp, so that one disk counts.
  mkdir -p "${dependencies}/tmp"
  TMPDIR=${dependencies}/tmp PIP_DISABLE_PIP_VERSION_CHECK=1 \
    "${environment}/bin/python" -m pip install --quiet --no-cache-dir --no-deps "${torch_packages[@]}" \
    >>"${log}" 2>&1 ||
    fail "pip could not install ${torch_packages[*]}: $(reason) (log: ${log})"
  rm -rf "${dependencies}/tmp"
  printf '%s\n' "${torch_packages[*]}" >"${stamp}"
}

# One folder, which any Python from 3.10 on can read; the stamp is written last.
install_tokenizers() {
  if [[ -r ${tokenizers}/hetmoe-stamp && $(<"${tokenizers}/hetmoe-stamp") == "${tokenizers_package}" ]]; then
    return
  fi
  rm -rf "${tokenizers}"
  PIP_DISABLE_PIP_VERSION_CHECK=1 "${environment}/bin/python" -m pip install --quiet --no-cache-dir --no-deps \
    --target "${tokenizers}" "${tokenizers_package}" >"${log}" 2>&1 ||
    fail "pip could not install ${tokenizers_package}: $(reason) (log: ${log})"
  printf '%s\n' "${tokenizers_package}" >"${tokenizers}/hetmoe-stamp"
}

cuda_is_whole() {
  [[ -r ${cuda_stamp} && $(<"${cuda_stamp}") == "${cuda_packages[*]} ${cutlass_package}" ]]
}

install_cuda() {
  if cuda_is_whole; then
    return
  fi
  require_disk "${cuda_disk_mebibytes}" "CUDA with the build"
  say "installing CUDA's compiler and libraries into .deps (about 2 GB to download)"
  rm -f "${cuda_stamp}"
  mkdir -p "${dependencies}/tmp"
  local pip=("${environment}/bin/python" -m pip install --quiet --no-cache-dir)
  { TMPDIR=${dependencies}/tmp PIP_DISABLE_PIP_VERSION_CHECK=1 "${pip[@]}" "${cuda_packages[@]}" &&
    TMPDIR=${dependencies}/tmp PIP_DISABLE_PIP_VERSION_CHECK=1 "${pip[@]}" --no-deps "${cutlass_package}"; } \
    >>"${log}" 2>&1 || fail "pip could not install CUDA: $(reason) (log: ${log})"
  rm -rf "${dependencies}/tmp"
  printf '%s\n' "${cuda_packages[*]} ${cutlass_package}" >"${cuda_stamp}"
}

build() {
  local cache=${project}/build/CMakeCache.txt fresh=()
  cd "${project}"
  if ((with_tests)) && [[ -r ${cache} ]] && grep -qx 'HETMOE_BUILD_TESTS:.*=OFF' "${cache}"; then
    rm -f build/build.ninja
  fi
  if [[ -r ${cache} ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=${project}" "${cache}"; then
    say "build/ belongs to another folder: configuring anew"
    fresh=(--fresh)
    rm -f build/build.ninja
  fi
  # Once built for GPUs it stays so: nobody loses it to a later call without the option.
  if ((with_cuda)) && ! grep -qsx 'HETMOE_CUDA:BOOL=ON' "${cache}"; then
    rm -f build/build.ninja
    cmake_options+=(-D HETMOE_CUDA=ON)
  fi
  if [[ ! -e build/build.ninja ]]; then
    require_disk "${build_disk_mebibytes}" "the build"
    cmake --preset release "${fresh[@]}" "${cmake_options[@]}" >"${log}" 2>&1 ||
      fail "cmake could not configure: $(grep -a -A 3 'CMake Error' "${log}" | tr -s '\n ' ' ' || true) (log: ${log})"
  fi
  cmake --build --preset release "${targets[@]}"
}

# Says how long a phase took, when it did anything worth a line.
timed() {
  local name=$1 start=${SECONDS}
  shift
  "$@"
  if ((SECONDS - start >= 2)); then
    say "${name}: $((SECONDS - start)) s"
  fi
}

with_build=1
with_tests=0
with_cuda=0
no_root=${HETMOE_NO_ROOT:-0}
targets=()
while (($# > 0)); do
  case $1 in
    --no-root) no_root=1 ;;
    --no-build) with_build=0 ;;
    --cuda) with_cuda=1 ;;
    --tests)
      with_tests=1
      debian_packages+=("${peer_packages[@]}")
      ;;
    --target)
      (($# > 1)) || fail "--target needs a name"
      targets+=(--target "$2")
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

# Who only wants to train need not ask for what tests are made of.
cmake_options=(-D "HETMOE_BUILD_TESTS=$( ((no_root && !with_tests)) && printf OFF || printf ON)")
if ((!no_root)); then
  check_system
fi
mkdir -p "${dependencies}" 2>/dev/null || fail "cannot write to ${project}: clone to a folder of yours"
# Two set-ups at once would tear each other's folders.
exec 9>"${dependencies}/lock"
flock 9
if ((no_root)); then
  timed "what is there" require_everything
else
  timed packages install_packages
fi
timed LibTorch install_torch
timed tokenizers install_tokenizers
if ((with_cuda)); then
  timed CUDA install_cuda
fi
if ((with_build)); then
  timed build build
fi
