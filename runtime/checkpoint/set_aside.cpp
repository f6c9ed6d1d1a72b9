#include "runtime/checkpoint/set_aside.h"

#include <filesystem>
#include <system_error>

#include "core/base/error.h"

namespace hetmoe {

std::vector<std::string> set_aside_after(const CheckpointFolder& folder, std::int64_t step,
                                         int generation) {
  std::vector<std::string> lines;
  for (const SavedStep& saved : folder.steps()) {
    if (!saved.committed || saved.step <= step) continue;
    const std::string name =
        saved.path.filename().string() + ".set-aside-" + std::to_string(generation);
    std::error_code failure;
    std::filesystem::rename(saved.path, folder.path() / name, failure);
    if (failure) {
      throw StorageError("cannot rename checkpoint '" + saved.path.string() + "' to '" + name +
                         "': " + failure.message());
    }
    lines.push_back("checkpoint of step " + std::to_string(saved.step) + " is set aside as " +
                    name);
  }
  return lines;
}

}  // namespace hetmoe
