#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/allowed.h"
#include "core/model/hyper_config.h"

namespace hetmoe {

enum class WidthShape { kArithmetic, kGeometric, kHybrid, kHomogeneous };
enum class RouterKind { kTopK, kTopP };
enum class Renormalize { kAuto, kTrue, kFalse };
enum class PenaltyForm { kPaper, kReleasedCode };

std::vector<std::string> enum_words(WidthShape);
std::vector<std::string> enum_words(RouterKind);
std::vector<std::string> enum_words(Renormalize);
std::vector<std::string> enum_words(PenaltyForm);

inline constexpr int kMostExperts = 1024;
inline constexpr std::int64_t kMostExpertWidth = 1 << 20;

/// The widths (hidden units) of the experts of every layer.
struct ExpertsConfig {
  int count = 8;
  std::int64_t mean_width = 1024;
  WidthShape shape = WidthShape::kArithmetic;
  double ratio = 2.56;
  std::vector<std::int64_t> widths;  ///< not empty: these; mean_width, shape and ratio have no say

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("count", count, "experts",
                "Experts per layer. With widths given it may be left out, else it must match.",
                between(1, kMostExperts));
    visit.field("mean_width", mean_width, "hidden units",
                "Mean width. The widths sum to count x mean_width exactly.",
                at_least(1, kMostExpertWidth));
    visit.field("shape", shape, "",
                "arithmetic: evenly spaced; geometric: 1, 2, 4, ...; hybrid: half of the experts "
                "1, a quarter 2, a quarter 4; homogeneous: all equal.");
    visit.field("ratio", ratio, "", "Largest over smallest width of the arithmetic shape.",
                between(1, 1000));
    visit.field("widths", widths, "hidden units",
                "The widths one by one; mean_width, shape and ratio are then not used.",
                at_least(1, kMostExpertWidth));
  }
};

struct RouterConfig {
  RouterKind kind = RouterKind::kTopK;
  int top_k = 2;
  double top_p = 0.6;
  Renormalize renormalize = Renormalize::kAuto;
  bool allow_untrained = false;
  std::string forced = "none";
  double parameter_penalty = 0.1;
  double load_balance = 0;
  double entropy = 0;
  PenaltyForm penalty_form = PenaltyForm::kPaper;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("kind", kind, "",
                "top_k: the K most probable experts; top_p: the fewest that reach p.");
    visit.field("top_k", top_k, "experts", "Experts per token (kind top_k).", between(1, 1024));
    visit.field("top_p", top_p, "", "Probability to be reached (kind top_p).", above_up_to(0, 1));
    visit.field("renormalize", renormalize, "",
                "Gates sum to 1 over the selected experts. auto: true, but false for top_k 1.");
    visit.field("allow_untrained", allow_untrained, "",
                "Allow renormalize true with top_k 1, where the router learns nothing.");
    visit.field(
        "forced", forced, "",
        "Experts chosen by a workload and not by the router, for measurements (kind top_k). "
        "W0: balanced; W1: some hot experts; W2: a hot rank; W3: spread heat; W4: W3 on "
        "ragged sources; W5: experts and ranks with nothing; W6: a hot spot that moves; "
        "W7: bursts.",
        one_of({"none", "W0", "W1", "W2", "W3", "W4", "W5", "W6", "W7"}));
    visit.field("parameter_penalty", parameter_penalty, "",
                "Coefficient of the parameter penalty (0.1 in HMoE).", at_least(0, 1e6));
    visit.field("load_balance", load_balance, "",
                "Coefficient of the load balance loss (1e-2 for equal experts).", at_least(0, 1e6));
    visit.field("entropy", entropy, "",
                "Coefficient of the router entropy, minimised (3e-2 with top_p in HMoE).",
                at_least(0, 1e6));
    visit.field("penalty_form", penalty_form, "",
                "paper: equation 4 with widths over their mean; released_code: gates times width "
                "over the sum of widths, as the authors' program has it.");
  }
};

/// A LLaMA-style decoder whose every feed-forward block is a mixture of SwiGLU experts.
struct ModelConfig {
  std::int64_t vocab_size = 8192;
  std::int64_t hidden_size = 512;
  int num_layers = 6;
  int num_heads = 8;
  int num_kv_heads = 8;
  std::int64_t head_dim = 0;
  double rope_theta = 10000;
  bool qk_norm = false;
  double norm_epsilon = 1e-5;
  bool tie_embeddings = false;
  double initializer_range = 0.02;
  ExpertsConfig experts;
  RouterConfig router;
  HyperConfig hyper;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("vocab_size", vocab_size, "tokens",
                "Rows of the embedding and of the output head; at least the tokenizer's.",
                at_least(2, 1 << 24));
    visit.field("hidden_size", hidden_size, "features", "Width of the residual stream.",
                at_least(1, 1 << 17));
    visit.field("num_layers", num_layers, "layers", "Decoder blocks.", between(1, 1024));
    visit.field("num_heads", num_heads, "heads", "Query heads.", between(1, 4096));
    visit.field("num_kv_heads", num_kv_heads, "heads",
                "Key and value heads; fewer than num_heads: grouped attention.", between(1, 4096));
    visit.field("head_dim", head_dim, "features", "Width of a head; 0: hidden_size / num_heads.",
                at_least(0, 65536));
    visit.field("rope_theta", rope_theta, "", "Base of the rotary position angles.",
                at_least(1, 1e12));
    visit.field("qk_norm", qk_norm, "", "RMSNorm on every query and key head.");
    visit.field("norm_epsilon", norm_epsilon, "", "Added to the mean square in RMSNorm.",
                above_up_to(0, 1));
    visit.field("tie_embeddings", tie_embeddings, "",
                "The output head is the embedding, transposed.");
    visit.field("initializer_range", initializer_range, "",
                "Standard deviation of the initial matrices.", above_up_to(0, 10));
    visit.section("experts", experts);
    visit.section("router", router);
    visit.section("hyper", hyper);
  }
};

/// Width of every expert, smallest first unless listed by hand; sum = count x mean_width exactly.
/// Multiples of 8 where mean_width >= 64 and the sum and the smallest width permit, else of 1.
/// Hybrid generalises {1,1,1,1,2,2,4,4}: count/4 experts of 4 (rounded down), as many of 2, the
/// rest of 1. Geometric is {1, 2, 4, ..., 2^(count-1)}; its sum rarely divides, so the widths are
/// apportioned by largest remainder, as the arithmetic ones are.
/// Errors: ConfigError when a width would be below 1.
/// Source: HMoE (arXiv 2408.10681), section 2 and appendix A.
std::vector<std::int64_t> expert_widths(const ExpertsConfig& experts);

/// Features of one attention head: head_dim, or hidden_size / num_heads where that is 0.
std::int64_t head_dim(const ModelConfig& model);

/// Whether gates are renormalised over the selected experts. auto: yes, but not for top-1, whose
/// renormalised gate is 1 and gives the router no gradient.
bool renormalizes(const RouterConfig& router);

}  // namespace hetmoe
