#include "tests/support/byte_shard.h"

#include <filesystem>

#include "core/data/prepare.h"

namespace hetmoe {

std::string prepare_byte_shard(const std::string& text_file, const std::string& folder) {
  PrepareOptions options;
  options.inputs = {text_file};
  options.out_directory = folder;
  options.tokenizer = "bytes";
  options.valid_fraction = 0;
  options.document_separator = "blank-line";
  prepare(options);
  return (std::filesystem::path(folder) / "train").string();
}

}  // namespace hetmoe
