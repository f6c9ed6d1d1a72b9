#include "launcher/surroundings.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iomanip>
#include <random>
#include <sstream>

#include "core/base/error.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

std::string new_launch_id() {
  std::random_device random;
  std::ostringstream text;
  text << std::hex << std::setfill('0');
  for (int part = 0; part < 4; ++part) text << std::setw(8) << random();
  return text.str();
}

/// 1 where the kernel tells none.
int count_numa_nodes() {
  int nodes = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/sys/devices/system/node", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("node") && name.find_first_not_of("0123456789", 4) == std::string::npos) {
      ++nodes;
    }
  }
  return std::max(nodes, 1);
}

}  // namespace

std::string running_program() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) throw StorageError("cannot read /proc/self/exe: " + error.message());
  return program.string();
}

Surroundings find_surroundings() {
  return {.program = running_program(),
          .launch_id = new_launch_id(),
          .is_root = ::geteuid() == 0,
          .numa_nodes = count_numa_nodes(),
          .is_set = [](const std::string& name) { return std::getenv(name.c_str()) != nullptr; }};
}

}  // namespace hetmoe
