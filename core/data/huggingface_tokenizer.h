#pragma once

#include "core/data/child_tokenizer.h"

namespace hetmoe {

/// Any tokenizer.json, through a child process that runs Hugging Face's library `tokenizers`.
/// Ids and text are those of the Python package with add_special_tokens=False: nothing is put
/// before or after a text, and nothing cut off or filled up, whatever the file's post-processor,
/// truncation and padding say. As there, an added token that stands written in a text becomes its
/// id. Text must be UTF-8: keeps_every_byte() is false. In decode() no special token gives text,
/// and an incomplete UTF-8 character gives U+FFFD.
/// The token that ends documents: eos_token of tokenizer_config.json, or of
/// special_tokens_map.json, or eos_token_id of generation_config.json (its first), all beside the
/// file; without any of them the special added token <|endoftext|> or </s>.
/// Errors: those of ChildTokenizer; StorageError for a file without such a token, and where there
/// is no Python or no library.
class HuggingFaceTokenizer final : public ChildTokenizer {
 public:
  /// `executable` empty: hetmoe-huggingface-tokenizer beside the running program.
  explicit HuggingFaceTokenizer(const std::string& json_path, const std::string& executable = "");

  std::string name() const override { return "huggingface"; }
};

}  // namespace hetmoe
