// In which order a decoder waits for blocks of parameters and reports their gradients.
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "core/model/decoder.h"
#include "core/model/host_moe_layer.h"
#include "core/model/local_token_dispatcher.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct RecordingGate final : ParameterGate {
  void wait(int block) override { blocks.push_back(block); }
  void wait_all() override {}
  std::vector<int> blocks;
};

struct CallingListener final : GradientListener {
  void complete(int block) override {
    blocks.push_back(block);
    called(block);
  }
  std::vector<int> blocks;
  std::function<void(int)> called = [](int) {};
};

ModelConfig small_model(bool tied) {
  ModelConfig config;
  config.vocab_size = 7;
  config.hidden_size = 6;
  config.num_layers = 2;
  config.num_heads = 2;
  config.num_kv_heads = 1;
  config.head_dim = 2;
  config.qk_norm = true;
  config.tie_embeddings = tied;
  config.experts.count = 2;
  config.experts.widths = {2, 3};
  config.router.top_k = 2;
  return config;
}

std::vector<Slice> all_slices() { return {{0, 0, 0, 2}, {0, 1, 0, 3}, {1, 0, 0, 2}, {1, 1, 0, 3}}; }

class ObservedDecoder {
 public:
  explicit ObservedDecoder(bool tied)
      : config_(small_model(tied)),
        store_(config_, all_slices(), at::kFloat),
        decoder_(config_, {store_, mixture_, gate_, listener_}) {
    for (at::Tensor part :
         {store_.dense_values(), store_.slice_values(0), store_.slice_values(1)}) {
      part.copy_(test_values("parameters", {part.numel()}, 0.6));
    }
  }

  /// Microbatch number `index` of two.
  void train(std::int64_t index, std::int64_t sequences = 2) {
    PassState pass = make_pass(index, sequences);
    decoder_.forward(pass);
    decoder_.backward(pass);
  }
  void evaluate() {
    PassState pass = make_pass(1, 2);
    decoder_.evaluate(pass);
  }

  /// A block's gradients, dense ones and slices, one after another.
  at::Tensor gradients_of(int block) {
    std::int64_t begin = 0;
    at::Tensor all = at::zeros({0}, at::TensorOptions(at::kFloat));
    for (const TensorSpec& spec : store_.dense_specs()) {
      if (spec.block == block) {
        all = at::cat({all, store_.dense_gradients().narrow(0, begin, spec.elements())});
      }
      begin += spec.elements();
    }
    if (block >= 0 && block < 2) all = at::cat({all, store_.slice_gradients(block)});
    return all;
  }

  RecordingGate& gate() { return gate_; }
  CallingListener& listener() { return listener_; }

 private:
  PassState make_pass(std::int64_t index, std::int64_t sequences) {
    statistics_.clear();
    const auto tokens = static_cast<std::size_t>(sequences * 3);
    return {.microbatch = {.sequences = sequences,
                           .length = 3,
                           .inputs = std::span(inputs_).first(tokens),
                           .targets = std::span(inputs_).last(tokens),
                           .global_tokens = 6,
                           .microbatches = 2,
                           .index = index},
            .statistics = &statistics_};
  }

  ModelConfig config_;
  ParameterStore store_;
  HostMixture mixture_{make_cpu_expert_kernels(), make_local_token_dispatcher(all_slices())};
  RecordingGate gate_;
  CallingListener listener_;
  RouterStatistics statistics_{2, 2};
  std::vector<std::int32_t> inputs_ = {3, 1, 4, 1, 5, 2};
  Decoder decoder_;
};

constexpr int kHead = 2;

TEST(Decoder, WaitsForEachBlockAsItComesToIt) {
  ObservedDecoder decoder(false);
  decoder.train(0);
  EXPECT_THAT(decoder.gate().blocks, ElementsAre(kEmbeddingBlock, 0, 1, kHead));
  decoder.gate().blocks.clear();
  decoder.evaluate();
  EXPECT_THAT(decoder.gate().blocks, ElementsAre(kEmbeddingBlock, 0, 1, kHead));
}

TEST(Decoder, ReportsEveryBlockOnceInTheLastMicrobatchOnly) {
  ObservedDecoder decoder(false);
  decoder.evaluate();
  decoder.train(0);
  EXPECT_THAT(decoder.listener().blocks, IsEmpty());
  decoder.train(1);
  EXPECT_THAT(decoder.listener().blocks, ElementsAre(kHead, 1, 0, kEmbeddingBlock));
}

TEST(Decoder, ReportsEveryBlockWithoutTokensToo) {
  ObservedDecoder decoder(false);
  decoder.train(1, /*sequences=*/0);
  EXPECT_THAT(decoder.listener().blocks, ElementsAre(kHead, 1, 0, kEmbeddingBlock));
}

TEST(Decoder, ReportsABlockWhenItsGradientsNoLongerChange) {
  for (const bool tied : {false, true}) {
    ObservedDecoder decoder(tied);
    std::map<int, at::Tensor> reported;
    decoder.train(0);
    decoder.listener().called = [&](int block) {
      reported[block] = decoder.gradients_of(block).clone();
    };
    decoder.train(1);
    for (const int block : {kHead, 1, 0, kEmbeddingBlock}) {
      EXPECT_TRUE(reported.at(block).equal(decoder.gradients_of(block))) << block;
      EXPECT_GT(reported.at(block).abs().max().item<float>(), 0.0F) << block;
    }
  }
}

TEST(Decoder, ReportsABlockBeforeTheNextOneBegins) {
  ObservedDecoder decoder(false);
  decoder.listener().called = [&](int block) {
    for (int below = block - 1; below >= kEmbeddingBlock; --below) {
      EXPECT_EQ(decoder.gradients_of(below).abs().max().item<float>(), 0.0F)
          << "block " << below << " at the report of " << block;
    }
  };
  decoder.train(1);
}

}  // namespace
}  // namespace hetmoe
