#pragma once

#include <string>

namespace hetmoe {

/// Turns a text file into the training shard that the stored references were made from: bytes as
/// tokens (257 with the end of a document), documents parted by blank lines, nothing held out.
/// `folder` must exist and be empty. Gives the shard's PREFIX for data.train.
/// Errors: StorageError, ConfigError.
std::string prepare_byte_shard(const std::string& text_file, const std::string& folder);

}  // namespace hetmoe
