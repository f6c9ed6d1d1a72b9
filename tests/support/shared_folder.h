#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "parallel/agreement.h"
#include "tests/support/mpi_world.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe::test {

/// A folder that all ranks see, rank 0's; gone with the object. Collective.
class SharedFolder {
 public:
  SharedFolder() {
    if (test_world().rank() == 0) own_.emplace();
    path_ = broadcast_text(test_world(), own_ ? own_->path().string() : "", 0);
  }
  ~SharedFolder() { test_world().barrier(); }
  SharedFolder(const SharedFolder&) = delete;
  SharedFolder& operator=(const SharedFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::optional<TemporaryFolder> own_;
  std::filesystem::path path_;
};

}  // namespace hetmoe::test
