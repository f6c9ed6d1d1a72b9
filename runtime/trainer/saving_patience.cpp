#include "runtime/trainer/saving_patience.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "core/base/error.h"

namespace hetmoe {

/// Nobody waits for the thread: it outlives everything but the process.
void end_process_later(int rank, const std::string& text, double grace_seconds) {
  std::thread([rank, text, grace_seconds] {
    std::this_thread::sleep_for(std::chrono::duration<double>(grace_seconds));
    std::fprintf(stderr, "hetmoe: rank %d: %s; the disk still hangs: ending this process\n", rank,
                 text.c_str());
    std::fflush(stderr);
    std::_Exit(static_cast<int>(ExitCode::kStorage));
  }).detach();
}

}  // namespace hetmoe
