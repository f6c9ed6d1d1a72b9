#pragma once

#include <string>
#include <vector>

#include "core/config/allowed.h"

namespace hetmoe {

/// Where tokens come from. A shard is named as core/data/open_source.h says.
struct DataConfig {
  std::string train;
  std::vector<std::string> mixture;
  std::vector<double> mixture_weights;
  std::string valid;
  bool attention_across_documents = true;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("train", train, "",
                "Training tokens: PREFIX of Megatron's PREFIX.bin and PREFIX.idx, a file of llm.c "
                "or nanoGPT, a pattern such as data/part_*.bin of several that are read as one, or "
                "the word random (reproducible random tokens, for benchmarks).");
    visit.field("mixture", mixture, "",
                "Several sources of training tokens instead of data.train, each named like it: "
                "[a/train, b/train].");
    visit.field("mixture_weights", mixture_weights, "",
                "Share of the sequences that each source of data.mixture gives, relative to the "
                "others: [0.7, 0.3] or [7, 3]. After any number of sequences each has given its "
                "share, to a sequence or so; a source that ends begins anew, in another order.",
                above_up_to(0, 1e12));
    visit.field("valid", valid, "", "Held-out tokens, named like data.train.");
    visit.field("attention_across_documents", attention_across_documents, "",
                "A window's tokens see earlier documents of the same window.");
  }
};

}  // namespace hetmoe
