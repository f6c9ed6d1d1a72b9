#include <dlfcn.h>

#include <fstream>
#include <sstream>

#include "core/gpu/devices.h"
#include "core/tensor/library_facts.h"
#include "launcher/doctor/checks.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

/// Of /proc/cpuinfo, those that make bf16 products fast.
std::string bf16_instructions() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("flags")) continue;
    std::string found;
    std::istringstream words(line);
    for (std::string word; words >> word;) {
      if (word == "avx512_bf16" || word == "amx_bf16") found += (found.empty() ? "" : ", ") + word;
    }
    return found;
  }
  return "";
}

std::string driver_line() {
  std::string line;
  std::ifstream file("/proc/driver/nvidia/version");
  std::getline(file, line);
  return line;
}

/// Linked where CUDA is built in; asked by name, since only parallel/communicator knows NCCL.
std::string nccl_version() {
  using GetVersion = int (*)(int*);
  const auto get_version = reinterpret_cast<GetVersion>(::dlsym(RTLD_DEFAULT, "ncclGetVersion"));
  int version = 0;
  if (get_version == nullptr || get_version(&version) != 0) return "";
  constexpr int kMajor = 10000;
  constexpr int kMinor = 100;
  return std::to_string(version / kMajor) + "." + std::to_string(version % kMajor / kMinor) + "." +
         std::to_string(version % kMinor);
}

Finding gpus(const gpu::Devices& devices) {
  const std::string driver = driver_line();
  if (!devices.built_in) {
    if (driver.empty()) return ok("GPU", "none, and this program is built for CPUs");
    return warning("GPU", "a driver is here, but this program is built for CPUs: " + driver,
                   "deploy/setup.sh --cuda builds for GPUs");
  }
  if (devices.visible.empty())
    return warning("GPU", "none can be used: " + devices.why_none,
                   "look at nvidia-smi and CUDA_VISIBLE_DEVICES; a driver from 580 on is needed");
  const gpu::Device& first = devices.visible.front();
  return ok("GPU", std::to_string(devices.visible.size()) + " x " + first.name + ", " +
                       bytes_text(first.memory_bytes));
}

}  // namespace

Findings check_library() {
  const LibraryFacts facts = library_facts();
  const std::string words = "LibTorch " + facts.version + ", " + facts.instructions + ", " +
                            std::to_string(facts.threads) + " threads of its own accord";
  if (!facts.computes)
    return {wrong("LibTorch", words + ": a product of ones is not what it should be",
                  "run deploy/setup.sh again: .deps/python may be damaged", ExitCode::kInternal)};
  const std::string instructions = bf16_instructions();
  return {
      ok("LibTorch", words),
      ok("bf16", instructions.empty() ? "no instructions for it: train.precision auto takes fp32"
                                      : "instructions " + instructions)};
}

Findings check_gpu() {
  const gpu::Devices devices = gpu::visible_devices();
  const std::string version = nccl_version();
  Findings findings = {gpus(devices)};
  if (!devices.built_in) return findings;
  if (version.empty()) {
    findings.push_back(
        wrong("NCCL", "not found", "run deploy/setup.sh --cuda again", ExitCode::kCommunication));
  } else {
    findings.push_back(ok("NCCL", version));
  }
  return findings;
}

}  // namespace hetmoe
