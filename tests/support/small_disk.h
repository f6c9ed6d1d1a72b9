#pragma once

#include <sys/resource.h>

#include <csignal>
#include <stdexcept>

namespace hetmoe {

/// While it lives no file of this process grows beyond `bytes`: writing fails with "File too
/// large", as it fails with "No space left" on a full disk.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    if (getrlimit(RLIMIT_FSIZE, &unlimited_) != 0) throw std::runtime_error("getrlimit failed");
    const rlimit small = {.rlim_cur = bytes, .rlim_max = unlimited_.rlim_max};
    if (setrlimit(RLIMIT_FSIZE, &small) != 0) throw std::runtime_error("setrlimit failed");
  }
  ~SmallDisk() {
    setrlimit(RLIMIT_FSIZE, &unlimited_);
    std::signal(SIGXFSZ, old_handler_);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

 private:
  rlimit unlimited_{};
  void (*old_handler_)(int);
};

}  // namespace hetmoe
