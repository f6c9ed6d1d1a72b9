// The dense kernels of one end-to-end step (hidden 512, 8 sequences of 256, vocabulary 8192), each
// by itself, beside the yardstick.
#include <ATen/Parallel.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "core/kernels/adapter.h"
#include "core/kernels/attention.h"
#include "core/kernels/cross_entropy.h"
#include "core/kernels/generator_head.h"
#include "core/kernels/linear.h"
#include "core/kernels/rms_norm.h"
#include "runtime/trainer/process_memory.h"
#include "tests/bench/harness.h"
#include "tests/bench/yardstick.h"

namespace hetmoe::bench {
namespace {

constexpr std::int64_t kHidden = 512;
constexpr std::int64_t kVocabulary = 8192;
constexpr std::int64_t kSequences = 8;
constexpr std::int64_t kLength = 256;
constexpr std::int64_t kTokens = kSequences * kLength;
const AttentionShape kAttention{
    .sequences = kSequences, .length = kLength, .num_heads = 8, .num_kv_heads = 8, .head_dim = 64};

double product_flops(std::int64_t outputs) {
  return 2.0 * static_cast<double>(kTokens * kHidden * outputs);
}

/// Causal half of scores and weighted values.
double attention_flops() {
  return 2.0 * static_cast<double>(kTokens * kAttention.length * kHidden);
}

std::vector<Case> linear_cases(at::ScalarType type) {
  const std::int64_t outputs = 3 * kHidden;
  const at::Tensor x = normal("x", kTokens, kHidden, 1.0).to(type);
  const at::Tensor weight = normal("weight", outputs, kHidden, 0.02).to(type);
  const at::Tensor dy = normal("dy", kTokens, outputs, 1e-3).to(type);
  at::Tensor gradient = at::zeros({outputs, kHidden}, at::TensorOptions(at::kFloat));
  return {
      {"linear 512 to 1536 forward", product_flops(outputs), [=] { linear_forward(x, weight); }},
      {"linear input gradient", product_flops(outputs), [=] { linear_input_gradient(dy, weight); }},
      {"linear weight gradient", product_flops(outputs),
       [=]() mutable { add_weight_gradient(dy, x, gradient); }}};
}

std::vector<Case> attention_cases(at::ScalarType type) {
  const at::Tensor qkv = normal("qkv", kTokens, kAttention.row_width(), 1.0).to(type);
  const at::Tensor dy = normal("dy", kTokens, kHidden, 1e-3).to(type);
  const AttentionResult saved = attention_forward(qkv, kAttention, {});
  return {{"attention forward", attention_flops(), [=] { attention_forward(qkv, kAttention, {}); }},
          {"attention backward", 2 * attention_flops(),
           [=] { attention_backward(dy, saved, kAttention, {}); }}};
}

std::vector<Case> other_cases(at::ScalarType type) {
  const at::Tensor x = normal("x", kTokens, kHidden, 1.0).to(type);
  const at::Tensor norm = at::ones({kHidden}, at::TensorOptions(type));
  const RmsNormResult normed = rms_norm_forward(x, norm, 1e-5);
  at::Tensor norm_gradient = at::zeros({kHidden}, at::TensorOptions(at::kFloat));
  return {
      {"rms norm forward", 0, [=] { rms_norm_forward(x, norm, 1e-5); }},
      {"rms norm backward", 0,
       [=]() mutable { rms_norm_backward(x, x, norm, normed.inverse_rms, norm_gradient); }},
      {"residual addition", 0, [=] { x.add(x); }},
  };
}

/// The output head of size L too: it has 40 % of that step's FLOPs.
std::vector<Case> head_cases(at::ScalarType type) {
  std::vector<Case> cases;
  for (auto [hidden, vocabulary] : {std::pair{kHidden, kVocabulary}, {768, 32000}}) {
    const at::Tensor x = normal("x", kTokens, hidden, 1.0).to(type);
    const at::Tensor head = normal("head", vocabulary, hidden, 0.02).to(type);
    at::Tensor gradient = at::zeros({vocabulary, hidden}, at::TensorOptions(at::kFloat));
    std::vector<std::int32_t> targets(kTokens);
    for (std::int64_t i = 0; i < kTokens; ++i)
      targets[i] = static_cast<std::int32_t>(i * 7 % vocabulary);
    const double flops = 2.0 * static_cast<double>(kTokens * hidden * vocabulary);
    const std::string name = "output head and cross entropy " + std::to_string(hidden) + " to " +
                             std::to_string(vocabulary);
    cases.push_back({name + " forward and backward", 3 * flops, [=]() mutable {
                       cross_entropy_with_gradient(x, head, targets, 1.0 / kTokens, gradient,
                                                   GradientSum::kBegin);
                     }});
    cases.push_back({name + " evaluation", flops, [=] { cross_entropy(x, head, targets); }});
  }
  return cases;
}

constexpr std::int64_t kRank = 64;
constexpr std::int64_t kSets = 28;  // top-2 of 8

/// Half the sets have twice the tokens of the others.
TokenGroups uneven_groups() {
  TokenGroups groups;
  for (std::int64_t g = 0; g < kSets; ++g) {
    groups.begin.push_back(groups.begin.back() + (g % 2 == 0 ? 4 : 2) * kTokens / (3 * kSets));
  }
  groups.begin.back() = kTokens;
  for (std::int64_t i = 0; i < kTokens; ++i) groups.token.push_back(i * 7 % kTokens);
  return groups;
}

std::vector<Case> adapter_cases(at::ScalarType type) {
  const at::Tensor x = normal("x", kTokens, kHidden, 1.0).to(type);
  const at::Tensor dy = normal("dy", kTokens, kHidden, 1e-3).to(type);
  const auto stack = [&](const char* name, std::int64_t rows, std::int64_t columns) {
    return normal(name, kSets * rows, columns, 0.02).to(type).view({kSets, rows, columns});
  };
  const Adapters adapters = {stack("down", kHidden, kRank), stack("up", kRank, kHidden),
                             stack("down_bias", 1, kRank).squeeze(1),
                             stack("up_bias", 1, kHidden).squeeze(1)};
  const TokenGroups groups = uneven_groups();
  const at::Tensor hidden = adapter_forward(x, groups, adapters).hidden;
  Adapters gradients = zero_gradients_of(adapters);
  const double flops = 2 * product_flops(kRank);
  return {{"adapters of 28 sets forward", flops, [=] { adapter_forward(x, groups, adapters); }},
          {"adapters of 28 sets backward", 2 * flops,
           [=]() mutable { adapter_backward(dy, x, groups, adapters, hidden, gradients); }}};
}

std::vector<Case> generator_cases(at::ScalarType type) {
  constexpr std::int64_t kCode = 128;
  constexpr std::int64_t kOutputs = kHidden * kRank;
  constexpr std::int64_t kRows = 6 * kSets;
  const at::TensorOptions wide(at::kFloat);
  GeneratorHead head{normal("head", kOutputs, kCode, 0.02).to(type),
                     normal("bias", 1, kOutputs, 0.02).to(type)[0],
                     at::zeros({kOutputs, kCode}, wide), at::zeros({kOutputs}, wide)};
  const at::Tensor code = normal("code", kRows, kCode, 1.0).to(type);
  const at::Tensor dout = normal("dout", kRows, kOutputs, 1e-3);
  const double flops = 2.0 * static_cast<double>(kRows * kCode * kOutputs);
  return {
      {"generator head of 168 rows forward", flops, [=] { generator_head_forward(code, head); }},
      {"generator head of 168 rows backward", 2 * flops,
       [=]() mutable { generator_head_backward(dout, code, head); }}};
}

void bench_type(at::ScalarType type, const std::string& suffix, int threads,
                const std::string& filter) {
  std::vector<Case> cases = {yardstick(type)};
  for (auto* part :
       {linear_cases, attention_cases, other_cases, head_cases, adapter_cases, generator_cases}) {
    for (Case& entry : part(type)) {
      if (entry.name.find(filter) != std::string::npos) cases.push_back(std::move(entry));
    }
  }
  const auto timings = time_alternating(cases, 15);
  for (Timing timing : timings) {
    timing.name += " " + suffix;
    std::cout << json_line(timing, timings[0].flops_per_second(), threads) << std::endl;
  }
}

}  // namespace
}  // namespace hetmoe::bench

// hetmoe_kernel_bench [THREADS] [PART OF A NAME] [x: bf16 only]
int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  const std::string filter = argc > 2 ? argv[2] : "";
  hetmoe::keep_freed_memory();
  at::set_num_threads(threads);
  hetmoe::bench::bench_type(at::kBFloat16, "bf16", threads, filter);
  if (argc <= 3) hetmoe::bench::bench_type(at::kFloat, "fp32", threads, filter);
  return 0;
}
