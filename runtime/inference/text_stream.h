#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/data/tokenizer.h"

namespace hetmoe {

/// Text of tokens that come one by one, given out as soon as it is certain: what may still become a
/// whole character, or another one, waits for the tokens after it. Put together the parts are the
/// text of all tokens. Cost: a token decodes those of a few words, whatever the length of the text.
class TextStream {
 public:
  /// `before`: tokens that the text goes on from, and is decoded behind. The tokenizer must outlive
  /// this.
  TextStream(Tokenizer& tokenizer, const std::vector<std::int32_t>& before);

  /// What has become certain with this token.
  std::string add(std::int32_t token);

  /// What has waited, when no more tokens come.
  std::string finish();

 private:
  std::string undelivered();

  Tokenizer& tokenizer_;
  std::vector<std::int32_t> tokens_;  ///< `delivered_` and those after them
  std::size_t delivered_;             ///< tokens whose text is out; decoded before the others
};

}  // namespace hetmoe
