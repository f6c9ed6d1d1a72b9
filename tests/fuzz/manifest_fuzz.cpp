// A manifest of any bytes is refused by a StorageError of one line, or keeps what read_manifest
// says, and is the same after being written and read again.

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "core/base/error.h"
#include "runtime/checkpoint/manifest.h"

namespace {

void check_promises(const hetmoe::Manifest& manifest) {
  std::set<std::string_view> files;
  for (const hetmoe::CheckpointFile& file : manifest.files) {
    HETMOE_CHECK(files.insert(file.name).second, file.name, " twice");
    HETMOE_CHECK(file.name.find('/') == std::string::npos, "a path: ", file.name);
  }
  for (const auto& [name, tensor] : manifest.tensors) {
    std::int64_t row = 0;
    for (const hetmoe::TensorPart& part : tensor.parts) {
      HETMOE_CHECK(part.row_begin == row && part.row_end > row, name, " at row ", row);
      HETMOE_CHECK(files.contains(part.file), name, " in ", part.file);
      HETMOE_CHECK(part.key == hetmoe::part_key(name, part.row_begin, part.row_end), part.key);
      row = part.row_end;
    }
    HETMOE_CHECK(row == tensor.rows() && tensor.columns() > 0, name, " of ", row, " rows");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(input), size);
  try {
    const hetmoe::Manifest manifest = hetmoe::read_manifest(text, "input");
    check_promises(manifest);
    const std::string written = hetmoe::write_manifest(manifest);
    HETMOE_CHECK(hetmoe::write_manifest(hetmoe::read_manifest(written, "written")) == written,
                 "another manifest when read again");
  } catch (const hetmoe::StorageError& error) {
    HETMOE_CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos,
                 "an error of several lines");
  }
  return 0;
}
