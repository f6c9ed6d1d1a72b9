#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/allowed.h"
#include "core/model/recompute.h"

namespace hetmoe {

enum class Schedule { kConstant, kCosine };
enum class Precision { kAuto, kFp32, kBf16 };

inline std::vector<std::string> enum_words(Schedule) { return {"constant", "cosine"}; }
inline std::vector<std::string> enum_words(Precision) { return {"auto", "fp32", "bf16"}; }

/// One training run: how much, how fast, in which numbers.
struct TrainConfig {
  std::int64_t steps = 1000;
  std::int64_t global_batch = 8;
  std::int64_t microbatches = 1;
  std::int64_t sequence_length = 256;
  std::vector<std::int64_t> source_weights;
  double learning_rate = 1e-3;
  std::int64_t warmup_steps = 100;
  Schedule schedule = Schedule::kConstant;
  double min_learning_rate_ratio = 0.1;
  double weight_decay = 1e-5;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double adam_epsilon = 1e-8;
  double clip_norm = 1.0;
  Precision precision = Precision::kAuto;
  bool deterministic = false;
  Recompute recompute = Recompute::kNone;
  std::uint64_t seed = 1;
  std::int64_t max_skipped_in_row = 10;
  double first_collective_seconds = 600;
  double collective_seconds = 120;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("steps", steps, "steps", "Length of the run.", at_least(1));
    visit.field("global_batch", global_batch, "sequences",
                "Sequences per step, over all ranks and microbatches.", at_least(1, 1 << 24));
    visit.field("microbatches", microbatches, "",
                "Parts of a step whose gradients are accumulated; divides global_batch.",
                at_least(1, 1 << 24));
    visit.field("sequence_length", sequence_length, "tokens", "Length of a sequence.",
                at_least(1, 1 << 24));
    visit.field("source_weights", source_weights, "",
                "Sequences that each rank reads, relative to the others, one number per rank; 0: "
                "none. Empty: evenly, or as model.router.forced W4 and W5 have it.",
                between(0, 1e6));
    visit.field("learning_rate", learning_rate, "", "Learning rate after the warm-up.",
                at_least(0, 1000));
    visit.field("warmup_steps", warmup_steps, "steps",
                "Linear rise of the learning rate from 0. May exceed steps (short trials).",
                at_least(0));
    visit.field("schedule", schedule, "",
                "After the warm-up: constant, or cosine down to the minimum at the last step.");
    visit.field("min_learning_rate_ratio", min_learning_rate_ratio, "",
                "Where cosine ends, as a part of learning_rate.", between(0, 1));
    visit.field("weight_decay", weight_decay, "", "Decoupled decay, on matrices only.",
                at_least(0, 1000));
    visit.field("beta1", beta1, "", "AdamW: memory of the mean gradient.", between(0, 0.999999));
    visit.field("beta2", beta2, "", "AdamW: memory of the squared gradient.",
                between(0, 0.99999999));
    visit.field("adam_epsilon", adam_epsilon, "", "AdamW: added to the denominator.",
                above_up_to(0, 1));
    visit.field("clip_norm", clip_norm, "",
                "Gradients of a larger norm are scaled to it; 0: no clipping.", at_least(0));
    visit.field("precision", precision, "",
                "Numbers of the forward and backward pass. auto: the faster, measured at start.");
    visit.field("deterministic", deterministic, "",
                "On a GPU: equal runs give equal bits, at some cost. On a CPU they do anyhow.");
    visit.field("recompute", recompute, "",
                "Activations computed again in the backward pass: less memory, slower, the same "
                "results. experts: their products with gate and up; block: of every block all but "
                "its input, what was exchanged and what the router decided.");
    visit.field("seed", seed, "", "Of initial values and of the order of the data.");
    visit.field("max_skipped_in_row", max_skipped_in_row, "steps",
                "More non-finite steps than this in a row end the run with code 6.", at_least(0));
    visit.field("first_collective_seconds", first_collective_seconds, "seconds",
                "A rank that waits longer for a collective before the first step has ended ends "
                "the run with code 4; 0: never.",
                at_least(0));
    visit.field("collective_seconds", collective_seconds, "seconds",
                "The same from the second step on; more than the slowest rank may lag behind, "
                "evaluation and saving included. 0: never.",
                at_least(0));
  }
};

/// The loss on held-out text, in between.
struct EvaluateConfig {
  std::int64_t every_steps = 200;
  std::int64_t tokens = 65536;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("every_steps", every_steps, "steps", "How often; 0: never.", at_least(0));
    visit.field("tokens", tokens, "tokens", "Held-out tokens of one evaluation, all ranks.",
                at_least(1));
  }
};

}  // namespace hetmoe
