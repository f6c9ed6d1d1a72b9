#pragma once

#include <string>

#include "core/config/allowed.h"

namespace hetmoe {

/// Where tokens come from.
struct DataConfig {
  std::string train;
  std::string valid;
  bool attention_across_documents = true;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("train", train, "",
                "Training tokens: PREFIX of PREFIX.bin and PREFIX.idx, or the word random "
                "(reproducible random tokens, for benchmarks).");
    visit.field("valid", valid, "", "Held-out tokens: PREFIX of PREFIX.bin and PREFIX.idx.");
    visit.field("attention_across_documents", attention_across_documents, "",
                "A window's tokens see earlier documents of the same window.");
  }
};

}  // namespace hetmoe
