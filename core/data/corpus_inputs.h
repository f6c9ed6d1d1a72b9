#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/data/byte_source.h"

namespace hetmoe {

enum class InputFormat { kText, kJsonLines };

struct InputFile {
  std::string path;
  std::int64_t size_bytes = 0;  ///< as it lies there, compressed or not
  std::int64_t modified_ns = 0;
  Compression compression = Compression::kNone;
  InputFormat format = InputFormat::kText;
};

struct InputOptions {
  std::string format = "auto";  ///< "text", "json-lines", or "auto": told by the content
  std::string json_field = "text";
  bool skip_invalid = false;  ///< lines of JSON that are not valid are counted and passed over
};

/// Every input file, in the order given; a folder stands for all files in it and in its folders, by
/// name, without those whose name begins with a dot. Reads the beginning of each: a file is JSON
/// lines if its first line is a JSON object. Errors: ConfigError for an unknown format, and for
/// JSON lines whose first one lacks the field; StorageError naming what cannot be read or is
/// neither file nor folder.
std::vector<InputFile> list_inputs(const std::vector<std::string>& paths,
                                   const InputOptions& options);

}  // namespace hetmoe
