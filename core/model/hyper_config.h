#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/allowed.h"

namespace hetmoe {

enum class HyperKind { kGenerated, kSharedAdapter, kExpertAdapters };
enum class Conditioning { kUnselected, kSelected };
enum class Aggregate { kSum, kMean, kCentred };

std::vector<std::string> enum_words(HyperKind);
std::vector<std::string> enum_words(Conditioning);
std::vector<std::string> enum_words(Aggregate);

/// A small ReLU expert beside the mixture, added to every token's output: HyperMoE's generated one,
/// or one of the two free adapters that it must be compared with. The defaults are those of the
/// released code (arXiv 2402.12656); conditioning, aggregate and gated depart from it.
struct HyperConfig {
  bool enabled = false;
  HyperKind kind = HyperKind::kGenerated;
  int rank = 64;
  int hidden = 128;
  int embedding = 128;
  int process = 128;
  int input = 128;
  int layer_embedding = 10;
  std::int64_t memory_limit = std::int64_t{4} << 30;
  Conditioning conditioning = Conditioning::kUnselected;
  Aggregate aggregate = Aggregate::kSum;
  bool gated = false;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("enabled", enabled, "", "Add a small expert to every token's output.");
    visit.field("kind", kind, "",
                "generated: HyperMoE, weights from a hypernetwork; for comparison: shared_adapter, "
                "one free adapter per layer; expert_adapters, one per expert, the selected ones "
                "summed.");
    visit.field("rank", rank, "hidden units", "Width of the small expert.", at_least(1, 65536));
    visit.field("hidden", hidden, "hidden units", "Width of the hypernetwork.", at_least(1, 65536));
    visit.field("embedding", embedding, "features", "Width of the expert embeddings.",
                at_least(1, 65536));
    visit.field("process", process, "hidden units", "Width of each layer's embedding network.",
                at_least(1, 65536));
    visit.field("input", input, "features", "Width of what it hands to the hypernetwork.",
                at_least(1, 65536));
    visit.field("layer_embedding", layer_embedding, "features", "Width of the layer embeddings.",
                at_least(1, 65536));
    visit.field(
        "memory_limit", memory_limit, "bytes",
        "Generated weights of all layers with their gradients, on one rank; beyond, tokens go "
        "through the factorised form, which keeps none. 0: no limit.",
        at_least(0, 1e15));
    visit.field("conditioning", conditioning, "",
                "Whose embeddings generate: unselected as in the paper, or the selected experts'.");
    visit.field("aggregate", aggregate, "",
                "How they are joined: sum as in the released code; mean; centred: the sum of their "
                "differences from the mean of all experts, for many experts.");
    visit.field("gated", gated, "",
                "Multiply by the router's probability of the selected set (the paper does not); "
                "the router then learns from it.");
  }
};

}  // namespace hetmoe
