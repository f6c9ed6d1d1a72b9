// How often the host waited for the emulated device, for those who count waits of a whole program
// (tests/bench/host_waits.py): HETMOE_HOST_WAITS=FOLDER leaves FOLDER/PROCESS.json at the end, as
// tests/gpu/host_waits does beside a real one.
#include "tests/emulation/host_waits_file.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "tests/emulation/streams.h"

namespace hetmoe::emulation {
namespace {

void write_counts() {
  std::ofstream(std::string(std::getenv("HETMOE_HOST_WAITS")) + "/" + std::to_string(getpid()) +
                ".json")
      << "{\"waits\": " << observed().host_waits
      << ", \"pageable_copies\": 0, \"allocations\": 0}\n";
}

}  // namespace

void write_host_waits_at_exit() {
  static const bool asked = std::getenv("HETMOE_HOST_WAITS") != nullptr;
  if (!asked) return;
  static const int registered = std::atexit(&write_counts);
  static_cast<void>(registered);
}

}  // namespace hetmoe::emulation
