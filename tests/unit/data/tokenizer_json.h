#pragma once

#include <nlohmann/json.hpp>

namespace hetmoe {

/// A tokenizer.json small enough to work out by hand: "a" 0, "b" 1, "ab" 2, "aba" 3, " " 4, merged
/// in the order a+b, ab+a, no normalisation, and the special token "</s>" 9 (5 to 8 are free).
inline nlohmann::ordered_json small_tokenizer_json() {
  return nlohmann::ordered_json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 9, "content": "</s>", "single_word": false, "lstrip": false,
                      "rstrip": false, "normalized": false, "special": true}],
    "normalizer": null, "pre_tokenizer": null, "post_processor": null,
    "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "dropout": null, "unk_token": null,
              "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
              "byte_fallback": false, "ignore_merges": false,
              "vocab": {"a": 0, "b": 1, "ab": 2, "aba": 3, " ": 4, "</s>": 9},
              "merges": [["a", "b"], ["ab", "a"]]}})");
}

}  // namespace hetmoe
