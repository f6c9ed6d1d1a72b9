#pragma once

#include <string>

namespace hetmoe {

/// The tokenizer of a shard, as make_tokenizer takes it: "bytes", or the path of tokenizer.model or
/// tokenizer.json beside the shard (which may be missing). `name`: the sidecar's.
/// Errors: StorageError for a name that no tokenizer has.
std::string tokenizer_beside(const std::string& shard_prefix, const std::string& name);

/// Copies what belongs to `tokenizer` (as make_tokenizer takes it; bytes have no files) into a
/// folder that exists: tokenizer.model, or tokenizer.json and those of the files that say which
/// token ends a text. `end_of_document`, if not empty, becomes the eos_token of the copy of
/// tokenizer_config.json, which may be made for it.
/// Errors: ConfigError where there is no tokenizer, or none that can be told what ends a text;
/// StorageError for what cannot be read or written.
void put_tokenizer_files(const std::string& tokenizer, const std::string& end_of_document,
                         const std::string& folder);

}  // namespace hetmoe
