#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/config/config_text.h"

namespace hetmoe::test {
namespace {

TEST(RunConfigFaults, AllFaultsAreReportedAtOnceInTheOrderOfTheFile) {
  EXPECT_EQ(complaint("model:\n"
                      "  vocab_size: 1.5\n"
                      "  hiden_size: 3\n"
                      "train:\n"
                      "  steps: -3\n"
                      "  learning_rate: .nan\n"
                      "metrics: {peak_flops: -500}\n",
                      {"train.global_batch=0"}),
            "x.yaml:2: model.vocab_size: value 1.5, allowed: an integer, >= 2\n"
            "x.yaml:3: model.hiden_size: unknown key, nearest: model.hidden_size\n"
            "x.yaml:5: train.steps: value -3, allowed: >= 1\n"
            "x.yaml:6: train.learning_rate: value .nan, allowed: a finite number, >= 0\n"
            "x.yaml:7: metrics.peak_flops: value -500, allowed: >= 0\n"
            "--set train.global_batch=0: train.global_batch: value 0, allowed: >= 1");
}

TEST(RunConfigFaults, UnknownKeysNameTheNearestOrTheKnown) {
  EXPECT_EQ(complaint("train: {stepz: 1}"),
            "x.yaml:1: train.stepz: unknown key, nearest: train.steps");
  EXPECT_EQ(complaint("learning_rate: 1"),
            "x.yaml:1: learning_rate: unknown key, nearest: train.learning_rate");
  EXPECT_EQ(complaint("evaluate: {zzzzzz: 1}"),
            "x.yaml:1: evaluate.zzzzzz: unknown key, allowed: every_steps, tokens");
  EXPECT_EQ(complaint("", {"train.stepz=1"}),
            "--set train.stepz=1: train.stepz: unknown key, nearest: train.steps");
}

TEST(RunConfigFaults, KeysGivenTwiceAreFaults) {
  EXPECT_EQ(complaint("train:\n  steps: 3\n  seed: 1\n  steps: 4\n"),
            "x.yaml:4: train.steps: given twice, allowed: once (first at line 2)");
  EXPECT_EQ(complaint("train: {steps: 3}\ntrain: {seed: 1}\n"),
            "x.yaml:2: train: given twice, allowed: once (first at line 1)");
}

TEST(RunConfigFaults, WrongKindsOfValuesAreFaults) {
  EXPECT_EQ(complaint("train: 3"), "x.yaml:1: train: value 3, allowed: a section of keys");
  EXPECT_EQ(complaint("train: {steps: [1]}"),
            "x.yaml:1: train.steps: value [1], allowed: an integer, >= 1");
  EXPECT_EQ(complaint("train: {steps: }"),
            "x.yaml:1: train.steps: value nothing, allowed: an integer, >= 1");
  EXPECT_EQ(complaint("model: {qk_norm: yes}"),
            "x.yaml:1: model.qk_norm: value yes, allowed: true or false");
  EXPECT_EQ(complaint("model: {experts: {widths: [8, x]}}"),
            "x.yaml:1: model.experts.widths: value [8, x], allowed: a list of integers, >= 1");
  EXPECT_EQ(complaint("model: {experts: {widths: [8, 0], count: 2}}"),
            "x.yaml:1: model.experts.widths: value [8, 0], allowed: >= 1");
  EXPECT_EQ(complaint("model: {experts: {shape: round}}"),
            "x.yaml:1: model.experts.shape: value round, allowed: arithmetic, geometric, hybrid, "
            "homogeneous");
  EXPECT_EQ(complaint("train: {steps: 99999999999999999999}"),
            "x.yaml:1: train.steps: value 99999999999999999999, allowed: an integer of 64 bits, "
            ">= 1");
}

TEST(RunConfigFaults, WhatIsComputedAgainIsAWord) {
  EXPECT_EQ(complaint("train: {recompute: block}"), "");
  EXPECT_EQ(complaint("train: {recompute: all}"),
            "x.yaml:1: train.recompute: value all, allowed: none, experts, block");
}

TEST(RunConfigFaults, ACoordinatorIsEitherRankZerosOrAnotherAndItsCertificateComplete) {
  EXPECT_EQ(complaint("", {"coordinator.address=h:1"}), "");
  EXPECT_EQ(complaint("", {"coordinator.address=h:1", "coordinator.listen=none"}),
            "--set coordinator.listen=none: coordinator.listen: value none, allowed: \"\" with "
            "coordinator.address");
  EXPECT_EQ(complaint("", {"coordinator.credentials=c.json"}),
            "--set coordinator.credentials=c.json: coordinator.credentials: value c.json, allowed: "
            "\"\" without coordinator.address");
  EXPECT_EQ(complaint("", {"coordinator.certificate=c.pem"}),
            "--set coordinator.certificate=c.pem: coordinator.certificate: value \"c.pem\", "
            "allowed: all three of certificate, private_key and client_authority, or none");
}

TEST(RunConfigFaults, ContradictionsStandWhereTheirKeyWasWritten) {
  EXPECT_EQ(complaint("model:\n  num_heads: 7\n  num_kv_heads: 7\n"),
            "x.yaml:2: model.num_heads: value 7, allowed: a divisor of model.hidden_size 512 (or "
            "set model.head_dim)");
  EXPECT_EQ(complaint("model: {num_kv_heads: 3}"),
            "x.yaml:1: model.num_kv_heads: value 3, allowed: a divisor of model.num_heads 8");
  EXPECT_EQ(complaint("model: {hidden_size: 24}"),
            "x.yaml:1: model.head_dim: value 3 (hidden_size / num_heads), allowed: an even "
            "number, rotary positions turn pairs");
  EXPECT_EQ(complaint("model: {router: {top_k: 9}}"),
            "x.yaml:1: model.router.top_k: value 9, allowed: at most model.experts.count 8");
  EXPECT_EQ(complaint("train: {microbatches: 3}"),
            "x.yaml:1: train.microbatches: value 3, allowed: a divisor of train.global_batch 8");
  EXPECT_EQ(complaint("model: {experts: {shape: geometric, count: 16}}"),
            "x.yaml:1: model.experts.mean_width: value 1024, allowed: enough for 16 experts of "
            "this shape to have a hidden unit each");
}

TEST(RunConfigFaults, MoreThanFitsIntoMemoryIsRefusedBeforeAnythingIsComputedFromIt) {
  EXPECT_EQ(complaint("model: {experts: {count: 1361445671}}"),
            "x.yaml:1: model.experts.count: value 1361445671, allowed: 1..1024");
  EXPECT_THAT(complaint("model: {experts: {mean_width: 4611686018427387904}}"),
              testing::HasSubstr("model.experts.mean_width: value 4611686018427387904, allowed: "));
}

TEST(RunConfigFaults, WhatShapesGenerationSaysNothingAboutFreeAdapters) {
  for (const std::string kind : {"shared_adapter", "expert_adapters"}) {
    EXPECT_EQ(complaint("model: {hyper: {enabled: true, gated: true, kind: " + kind + "}}"),
              "x.yaml:1: model.hyper.gated: set, allowed: false unless model.hyper.kind is "
              "generated");
    EXPECT_EQ(complaint("model: {hyper: {enabled: true, aggregate: mean, kind: " + kind + "}}"),
              "x.yaml:1: model.hyper.aggregate: set, allowed: sum unless model.hyper.kind is "
              "generated");
    EXPECT_EQ(
        complaint("model: {hyper: {enabled: true, conditioning: selected, kind: " + kind + "}}"),
        "x.yaml:1: model.hyper.conditioning: set, allowed: unselected unless "
        "model.hyper.kind is generated");
  }
}

TEST(RunConfigFaults, ARouterThatWouldNotLearnMustBeAskedForTwice) {
  const std::string once = "model: {router: {top_k: 1, renormalize: true}}";
  EXPECT_EQ(complaint(once),
            "x.yaml:1: model.router.renormalize: value true, allowed: false or auto with "
            "model.router.top_k 1, where the router would learn nothing (or set "
            "model.router.allow_untrained)");
  EXPECT_EQ(complaint(once, {"model.router.allow_untrained=true"}), "");
  EXPECT_EQ(complaint("model: {router: {top_k: 1}}"), "");
}

TEST(RunConfigFaults, ForcedRoutingIsOneOfTheWorkloadsAndNeedsTopK) {
  EXPECT_EQ(complaint("", {"model.router.forced=W8"}),
            "--set model.router.forced=W8: model.router.forced: value W8, allowed: none, W0, W1, "
            "W2, W3, W4, W5, W6, W7");
  for (const char* name : {"none", "W0", "W1", "W2", "W3", "W4", "W5", "W6", "W7"}) {
    EXPECT_EQ(complaint("", {std::string("model.router.forced=") + name}), "");
  }
  EXPECT_EQ(complaint("model: {router: {kind: top_p, forced: W3}}"),
            "x.yaml:1: model.router.forced: value W3, allowed: none with model.router.kind top_p "
            "(a workload chooses top_k experts)");
}

TEST(RunConfigFaults, SourceWeightsAreNotAllZeroNorNegative) {
  EXPECT_EQ(complaint("train: {source_weights: [0, 3]}"), "");
  EXPECT_EQ(complaint("train: {source_weights: [0, 0]}"),
            "x.yaml:1: train.source_weights: all 0, allowed: at least one above 0");
  EXPECT_EQ(complaint("train: {source_weights: [1, -3]}"),
            "x.yaml:1: train.source_weights: value [1, -3], allowed: 0..1000000");
  EXPECT_EQ(complaint("train: {source_weights: [1, 1000001]}"),
            "x.yaml:1: train.source_weights: value [1, 1000001], allowed: 0..1000000");
}

TEST(RunConfigFaults, TheReleasedPenaltyIsDefinedForTopKOnly) {
  EXPECT_EQ(complaint("model: {router: {kind: top_p, penalty_form: released_code}}"),
            "x.yaml:1: model.router.penalty_form: value released_code, allowed: paper with "
            "model.router.kind top_p (the released code has no Top-P)");
  EXPECT_EQ(complaint("model: {router: {kind: top_k, penalty_form: released_code}}"), "");
}

TEST(RunConfigFaults, ListedWidthsCountThemselvesButNotAgainstTheirCount) {
  EXPECT_EQ(complaint("model: {experts: {widths: [8, 16, 24]}}"), "");
  EXPECT_EQ(complaint("model: {experts: {count: 4, widths: [8, 16, 24]}}"),
            "x.yaml:1: model.experts.count: value 4, allowed: 3, the number of "
            "model.experts.widths");
}

TEST(RunConfigFaults, DataIsRequired) {
  EXPECT_EQ(
      ConfigText("").complaint(),
      "x.yaml: data.train: value \"\", allowed: a token shard, or random (or set data.mixture)\n"
      "x.yaml: evaluate.every_steps: value 200, allowed: 0 without data.valid");
  EXPECT_EQ(ConfigText("data: {train: a, valid: b}\n").complaint({"evaluate.tokens=16"}),
            "--set evaluate.tokens=16: evaluate.tokens: value 16, allowed: at least "
            "train.sequence_length 256");
}

TEST(RunConfigFaults, AMixtureIsTheOnlySourceAndHasAWeightForEachOfItsOwn) {
  const auto complaint_of = [](const std::string& data) {
    return ConfigText("data: {" + data + ", valid: v}\n").complaint();
  };
  EXPECT_EQ(complaint_of("mixture: [a, 'b  c', d_*.bin], mixture_weights: [0.7, 2, 1e-3]"), "");
  EXPECT_EQ(complaint_of("mixture: [a], mixture_weights: [1]"), "");
  EXPECT_EQ(complaint_of("mixture: [a, b], mixture_weights: [1, 1], train: t"),
            "x.yaml:1: data.mixture: 2 sources, allowed: none with data.train t (set it to \"\")");
  EXPECT_EQ(complaint_of("mixture: [a, b]"),
            "x.yaml:1: data.mixture_weights: 0 numbers, allowed: 2, one for each source of "
            "data.mixture");
  EXPECT_EQ(complaint_of("train: t, mixture_weights: [1]"),
            "x.yaml:1: data.mixture_weights: 1 numbers, allowed: 0, one for each source of "
            "data.mixture");
  EXPECT_EQ(complaint_of("mixture: [], mixture_weights: []"),
            "x.yaml:1: data.train: value \"\", allowed: a token shard, or random (or set "
            "data.mixture)");
  EXPECT_EQ(complaint_of("mixture: [a, b], mixture_weights: [1, 0]"),
            "x.yaml:1: data.mixture_weights: entry 1 is 0, allowed: > 0 and <= 1000000000000");
  EXPECT_EQ(complaint_of("mixture: [a, b], mixture_weights: [1, .inf]"),
            "x.yaml:1: data.mixture_weights: value [1, .inf], allowed: a list of finite numbers, "
            "> 0 and <= 1000000000000");
  EXPECT_EQ(complaint_of("mixture: [a, \"\"], mixture_weights: [1, 1]"),
            "x.yaml:1: data.mixture: entry 1 is \"\", allowed: a token shard");
  EXPECT_EQ(complaint_of("mixture: [random, a], mixture_weights: [1, 1]"),
            "x.yaml:1: data.mixture: entry 0 is random, allowed: a token shard");
  EXPECT_EQ(complaint_of("mixture: [a, b, a], mixture_weights: [1, 1, 1]"),
            "x.yaml:1: data.mixture: entry 2 is a, as entry 0 is, allowed: each source once");
}

TEST(RunConfigFaults, AMisreadKeyDoesNotAlsoContradict) {
  EXPECT_EQ(complaint("model: {num_heads: x, hidden_size: 514}"),
            "x.yaml:1: model.num_heads: value x, allowed: an integer, 1..4096");
  EXPECT_EQ(complaint("model: {num_heads: 0, hidden_size: 514}"),
            "x.yaml:1: model.num_heads: value 0, allowed: 1..4096");
}

TEST(RunConfigFaults, SettingsWithoutAKeyOrAValueAreFaults) {
  EXPECT_EQ(complaint("", {"train.steps", "=3"}),
            "--set train.steps: allowed: KEY=VALUE, such as train.steps=100\n"
            "--set =3: allowed: KEY=VALUE, such as train.steps=100");
  EXPECT_EQ(complaint("", {"train=3"}),
            "--set train=3: train: value 3, allowed: a section of keys");
}

TEST(RunConfigFaults, ManyFaultsAreCutShort) {
  std::string text = "train:\n";
  for (int i = 0; i < 150; ++i) text += "  key_" + std::to_string(i) + ": 1\n";
  const std::string message = complaint(text);
  EXPECT_TRUE(message.ends_with("\nand 50 more faults")) << message;
}

}  // namespace
}  // namespace hetmoe::test
