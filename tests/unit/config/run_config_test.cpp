#include "runtime/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "tests/unit/config/config_text.h"

namespace hetmoe::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

RunConfig unusual_config() {
  RunConfig config;
  config.model.vocab_size = 32000;
  config.model.norm_epsilon = 1.0 / 3e6;
  config.model.tie_embeddings = true;
  config.model.experts.widths = {8, 640, 24, 1000, 16, 16, 16, 8};
  config.model.experts.shape = WidthShape::kHybrid;
  config.model.router.renormalize = Renormalize::kFalse;
  config.model.router.penalty_form = PenaltyForm::kReleasedCode;
  config.data.train = "a folder/\"quoted\" \\ # not a comment: é\t";
  config.data.valid = "null";
  config.data.attention_across_documents = false;
  config.train.learning_rate = 0.1 + 0.2;
  config.train.schedule = Schedule::kCosine;
  config.train.precision = Precision::kBf16;
  config.train.seed = std::numeric_limits<std::uint64_t>::max();
  config.placement.strategy = "plans/mine.json";
  return config;
}

// Compared through members, not through the printed text alone.
TEST(RunConfig, ResolvedYamlReadsBackToTheSameConfiguration) {
  const RunConfig config = unusual_config();
  ASSERT_THAT(validate(config), IsEmpty());
  const std::string yaml = resolved_yaml(config);
  const RunConfig read = ConfigText(yaml).load();
  EXPECT_EQ(resolved_yaml(read), yaml);
  EXPECT_EQ(read.model.vocab_size, 32000);
  EXPECT_EQ(read.model.norm_epsilon, config.model.norm_epsilon);
  EXPECT_TRUE(read.model.tie_embeddings);
  EXPECT_EQ(read.model.experts.widths, config.model.experts.widths);
  EXPECT_EQ(read.model.experts.shape, WidthShape::kHybrid);
  EXPECT_EQ(read.model.router.kind, RouterKind::kTopK);
  EXPECT_EQ(read.model.router.renormalize, Renormalize::kFalse);
  EXPECT_EQ(read.model.router.penalty_form, PenaltyForm::kReleasedCode);
  EXPECT_EQ(read.data.train, config.data.train);
  EXPECT_EQ(read.data.valid, "null");
  EXPECT_FALSE(read.data.attention_across_documents);
  EXPECT_EQ(read.train.learning_rate, 0.1 + 0.2);
  EXPECT_EQ(read.train.schedule, Schedule::kCosine);
  EXPECT_EQ(read.train.precision, Precision::kBf16);
  EXPECT_EQ(read.train.seed, config.train.seed);
  EXPECT_EQ(read.placement.strategy, "plans/mine.json");
}

// The keys that others script against, with their defaults.
TEST(RunConfig, DefaultsAreTheContracts) {
  EXPECT_EQ(resolved_yaml(RunConfig{}),
            R"(model:
  vocab_size: 8192
  hidden_size: 512
  num_layers: 6
  num_heads: 8
  num_kv_heads: 8
  head_dim: 0
  rope_theta: 10000
  qk_norm: false
  norm_epsilon: 1e-05
  tie_embeddings: false
  initializer_range: 0.02
  experts:
    count: 8
    mean_width: 1024
    shape: arithmetic
    ratio: 2.56
    widths: []
  router:
    kind: top_k
    top_k: 2
    top_p: 0.6
    renormalize: auto
    allow_untrained: false
    forced: "none"
    parameter_penalty: 0.1
    load_balance: 0
    entropy: 0
    penalty_form: paper
  hyper:
    enabled: false
    kind: generated
    rank: 64
    hidden: 128
    embedding: 128
    process: 128
    input: 128
    layer_embedding: 10
    memory_limit: 4294967296
    conditioning: unselected
    aggregate: sum
    gated: false
data:
  train: ""
  mixture: []
  mixture_weights: []
  valid: ""
  attention_across_documents: true
train:
  steps: 1000
  global_batch: 8
  microbatches: 1
  sequence_length: 256
  source_weights: []
  learning_rate: 0.001
  warmup_steps: 100
  schedule: constant
  min_learning_rate_ratio: 0.1
  weight_decay: 1e-05
  beta1: 0.9
  beta2: 0.999
  adam_epsilon: 1e-08
  clip_norm: 1
  precision: auto
  deterministic: false
  recompute: none
  seed: 1
  max_skipped_in_row: 10
  first_collective_seconds: 600
  collective_seconds: 120
evaluate:
  every_steps: 200
  tokens: 65536
parallel:
  device: "auto"
  threads: 0
  expert_group_size: 0
  dispatch_parts: 2
  product_table: ""
placement:
  strategy: "slices"
  every: 100
  cluster: ""
  memory_cap_ratio: 1.1
  tolerance: 0.02
  granularity: 32
  replicas: 0
checkpoint:
  every_steps: 500
  keep: 2
  keep_every_steps: 0
  last_step: true
  wait_seconds: 1800
coordinator:
  listen: ""
  address: ""
  credentials: ""
  beat_seconds: 1
  away_seconds: 60
  certificate: ""
  private_key: ""
  client_authority: ""
  insecure: false
metrics:
  listen: ""
  detail: false
  peak_flops: 0
topology:
  ranks_per_node: 0
)");
}

TEST(RunConfig, SettingsWinOverTheFileAndTheLastOneCounts) {
  const ConfigText text("train: {steps: 5, seed: 7}\ndata: {train: x}\n");
  const RunConfig config =
      text.load({"evaluate.every_steps=0", "train.steps=6", "train.steps=7",
                 "data.train=shards/a b=c", "data.valid=", "model.experts.widths=[8, 16]",
                 "model.router.kind=top_p", "train.learning_rate=3e-3", "model.qk_norm=true"});
  EXPECT_EQ(config.train.steps, 7);
  EXPECT_EQ(config.train.seed, 7U);
  EXPECT_EQ(config.data.train, "shards/a b=c");
  EXPECT_EQ(config.data.valid, "");
  EXPECT_THAT(config.model.experts.widths, ElementsAre(8, 16));
  EXPECT_EQ(config.model.experts.count, 2);
  EXPECT_EQ(config.model.router.kind, RouterKind::kTopP);
  EXPECT_EQ(config.train.learning_rate, 0.003);
  EXPECT_TRUE(config.model.qk_norm);
}

TEST(RunConfig, AMixtureReadsBackAndCanBeSet) {
  const ConfigText text("data: {train: x, valid: v}\n");
  const RunConfig config = text.load({"data.train=", "data.mixture=[a/train, 'b  c', d_*.bin]",
                                      "data.mixture_weights=[7, 3, 0.1]"});
  EXPECT_THAT(config.data.mixture, ElementsAre("a/train", "b  c", "d_*.bin"));
  EXPECT_THAT(config.data.mixture_weights, ElementsAre(7, 3, 0.1));
  const RunConfig read = ConfigText(resolved_yaml(config)).load();
  EXPECT_EQ(read.data.mixture, config.data.mixture);
  EXPECT_EQ(read.data.mixture_weights, config.data.mixture_weights);
}

TEST(RunConfig, ASettingMendsAContradictionOfTheFile) {
  const std::string text = "train: {microbatches: 3}";
  EXPECT_EQ(complaint(text, {"train.global_batch=9"}), "");
}

TEST(RunConfig, ValidateSeesConfigurationsThatWereNeverRead) {
  RunConfig config;
  config.data.train = "random";
  config.evaluate.every_steps = 0;
  EXPECT_THAT(validate(config), IsEmpty());
  config.train.steps = 0;
  config.model.router.top_k = 9;
  EXPECT_THAT(validate(config),
              ElementsAre(testing::Field(&ConfigFault::key, "train.steps"),
                          testing::Field(&ConfigFault::key, "model.router.top_k")));
}

TEST(RunConfig, TheReferenceExplainsEveryKeyOfTheResolvedConfiguration) {
  const std::string reference = help_config();
  EXPECT_THAT(reference, HasSubstr("  steps: 1000  # integer, steps, >= 1\n"
                                   "      # Length of the run.\n"));
  std::istringstream lines(resolved_yaml(RunConfig{}));
  for (std::string line; std::getline(lines, line);) EXPECT_THAT(reference, HasSubstr(line));
}

}  // namespace
}  // namespace hetmoe::test
