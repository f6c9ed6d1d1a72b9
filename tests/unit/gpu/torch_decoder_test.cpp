// The model on the emulated device beside the model on the CPU.
#include <ATen/Context.h>
#include <gtest/gtest.h>
#include <observed_device.h>

#include <limits>

#include "core/model/decoder.h"
#include "core/model/gpu_mixture.h"
#include "core/model/host_moe_layer.h"
#include "core/model/local_token_dispatcher.h"
#include "core/tensor/device.h"
#include "tests/support/gradient_check.h"
#include "tests/support/small_decoder.h"

namespace hetmoe {
namespace {

struct ModelCase {
  const char* name;
  at::ScalarType type = at::kFloat;
  std::int64_t sequences = 3;
  bool documents = false;
  bool qk_norm = false;
  bool tied = false;
  RouterConfig router;
  HyperConfig hyper;
  std::int64_t head_dim = 6;  ///< no fused attention takes that; all take 16
};

ModelConfig model_of(const ModelCase& c) {
  ModelConfig config = test::small_decoder(c.router, c.head_dim);
  config.qk_norm = c.qk_norm;
  config.tie_embeddings = c.tied;
  config.hyper = c.hyper;
  return config;
}

/// A decoder with its parameters on one device, the same values on each.
class OneDecoder {
 public:
  OneDecoder(const ModelCase& c, at::Device device, Recompute recompute = Recompute::kNone)
      : config_(model_of(c)),
        store_(config_, test::small_slices(), c.type, GradientMemory::kHeld, device),
        mixture_(make_mixture(device, recompute)),
        statistics_(config_.num_layers, config_.experts.count),
        decoder_(config_, {store_, *mixture_, gate_, listener_, recompute}),
        sequences_(c.sequences),
        text_(0, c.sequences) {
    test::set_values(store_, 0.5);
    for (std::int64_t i = 0; c.documents && i < c.sequences * test::kSmallLength; ++i) {
      document_begin_.push_back(static_cast<std::int32_t>(i % test::kSmallLength / 3 * 3));
    }
  }

  /// Both microbatches of a step; statistics are those of the second. What was in the gradients has
  /// no meaning.
  double train() {
    fill_gradients(std::numeric_limits<double>::quiet_NaN());
    store_.begin_gradients();
    return both_microbatches();
  }
  /// The same without a beginning: all parts are added to zeros.
  double train_on_zeros() {
    fill_gradients(0);
    return both_microbatches();
  }
  double both_microbatches() {
    double loss = 0;
    for (std::int64_t index = 0; index < 2; ++index) {
      PassState pass = make_pass(index);
      loss += decoder_.forward(pass).value();
      decoder_.backward(pass);
    }
    return loss;
  }
  /// How often the host waits in one.
  std::uint64_t waits_of_a_microbatch() {
    const std::uint64_t before = test::host_waits_so_far();
    PassState pass = make_pass(1);
    decoder_.forward(pass);
    decoder_.backward(pass);
    return test::host_waits_so_far() - before;
  }
  double evaluate() {
    PassState pass = make_pass(1);
    return decoder_.evaluate(pass);
  }
  at::Tensor next_token_logits() {
    PassState pass = make_pass(1);
    return decoder_.next_token_logits(pass).to(at::kCPU);
  }

  ParameterStore& store() { return store_; }
  std::span<double> statistics() { return statistics_.values(); }

 private:
  static std::unique_ptr<Mixture> make_mixture(at::Device device, Recompute recompute) {
    if (!device.is_cpu()) {
      return make_gpu_mixture(
          make_local_gpu_token_dispatcher(test::small_slices()), {}, 0,
          recompute == Recompute::kNone ? GateUpProducts::kKept : GateUpProducts::kComputedAgain);
    }
    return std::make_unique<HostMixture>(make_cpu_expert_kernels(),
                                         make_local_token_dispatcher(test::small_slices()));
  }

  void fill_gradients(double value) {
    store_.dense_gradients().fill_(value);
    for (int layer = 0; layer < 2; ++layer) store_.slice_gradients(layer).fill_(value);
  }

  PassState make_pass(std::int64_t index) {
    statistics_.clear();
    return {.microbatch = {.sequences = sequences_,
                           .length = test::kSmallLength,
                           .inputs = text_.inputs,
                           .targets = text_.targets,
                           .document_begin = document_begin_,
                           .global_tokens =
                               2 * std::max<std::int64_t>(sequences_, 1) * test::kSmallLength,
                           .microbatches = 2,
                           .index = index},
            .statistics = &statistics_};
  }

  ModelConfig config_;
  ParameterStore store_;
  std::unique_ptr<Mixture> mixture_;
  OpenParameterGate gate_;
  NoGradientListener listener_;
  RouterStatistics statistics_;
  Decoder decoder_;
  std::int64_t sequences_;
  test::SmallText text_;
  std::vector<std::int32_t> document_begin_;
};

double distance(const at::Tensor& got, const at::Tensor& expected) {
  const at::Tensor difference = got.to(at::kCPU).to(at::kDouble) - expected.to(at::kDouble);
  return difference.norm().item<double>() /
         (expected.to(at::kDouble).norm().item<double>() + 1e-12);
}

class GpuDecoder : public testing::TestWithParam<ModelCase> {};

TEST_P(GpuDecoder, losses_gradients_and_statistics_are_those_of_the_cpu) {
  const double tolerance = GetParam().type == at::kFloat ? 2e-5 : 3e-2;
  OneDecoder there(GetParam(), gpu_device());
  OneDecoder here(GetParam(), at::kCPU);
  EXPECT_NEAR(there.train(), here.train(), tolerance * (1 + here.evaluate()));
  for (const TensorSpec& spec : here.store().dense_specs()) {
    EXPECT_LT(
        distance(there.store().dense(spec.name).gradient, here.store().dense(spec.name).gradient),
        tolerance)
        << spec.name;
  }
  for (int layer = 0; layer < 2; ++layer) {
    EXPECT_LT(distance(there.store().slice_gradients(layer), here.store().slice_gradients(layer)),
              tolerance)
        << "experts of layer " << layer;
  }
  EXPECT_NEAR(there.evaluate(), here.evaluate(), tolerance * (1 + here.evaluate()));
  const auto counted = there.statistics();
  const auto expected = here.statistics();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(counted[i], expected[i], tolerance * (1 + expected[i])) << i;
  }
  if (GetParam().sequences > 0) {
    EXPECT_LT(distance(there.next_token_logits(), here.next_token_logits()), tolerance);
  }
}

TEST_P(GpuDecoder, what_is_computed_again_gives_the_bits_of_what_is_kept) {
  OneDecoder keeping(GetParam(), gpu_device());
  const double loss = keeping.train();
  for (const Recompute recompute : {Recompute::kExperts, Recompute::kBlock}) {
    OneDecoder decoder(GetParam(), gpu_device(), recompute);
    EXPECT_EQ(decoder.train(), loss);
    const auto same = [](const at::Tensor& a, const at::Tensor& b) {
      return a.to(at::kCPU).equal(b.to(at::kCPU));
    };
    EXPECT_TRUE(same(decoder.store().dense_gradients(), keeping.store().dense_gradients()));
    for (int layer = 0; layer < 2; ++layer) {
      EXPECT_TRUE(
          same(decoder.store().slice_gradients(layer), keeping.store().slice_gradients(layer)));
    }
  }
}

HyperConfig small_expert(HyperKind kind = HyperKind::kGenerated, bool gated = false) {
  return {.enabled = true,
          .kind = kind,
          .rank = 5,
          .hidden = 7,
          .embedding = 4,
          .process = 6,
          .input = 3,
          .layer_embedding = 2,
          .gated = gated};
}

HyperConfig without_memory() {
  HyperConfig hyper = small_expert();
  hyper.memory_limit = 1;
  return hyper;
}

RouterConfig released() {
  RouterConfig router;
  router.penalty_form = PenaltyForm::kReleasedCode;
  router.load_balance = 0.01;
  return router;
}

TEST(GpuAttention, is_a_fused_kernel_with_and_without_groups_and_documents) {
  if (test::kIsObserved) GTEST_SKIP() << "no such kernels here";
  at::globalContext().setSDPUseMath(false);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const bool documents : {false, true}) {
      OneDecoder decoder({.name = "", .type = type, .documents = documents, .head_dim = 16},
                         gpu_device());
      EXPECT_NO_THROW(decoder.train()) << c10::toString(type) << documents;
    }
  }
  at::globalContext().setSDPUseMath(true);
}

TEST(GpuDecoderOfTwoLayers, gradients_that_begin_are_those_added_to_zeros_bit_for_bit) {
  for (const ModelCase& c : {ModelCase{.name = "generated",
                            .type = at::kBFloat16,
                            .sequences = 1,
                            .tied = true,
                            .hyper = small_expert(HyperKind::kGenerated, true)},
                             ModelCase{.name = "adapters",
                             .sequences = 1,
                             .router = test::small_top_p(),
                             .hyper = small_expert(HyperKind::kExpertAdapters)}}) {
    OneDecoder begun(c, gpu_device());
    OneDecoder added(c, gpu_device());
    begun.train();
    added.train_on_zeros();
    const auto expect_same = [&](const at::Tensor& a, const at::Tensor& b) {
      EXPECT_TRUE(a.to(at::kCPU).equal(b.to(at::kCPU))) << c.name;
    };
    expect_same(begun.store().dense_gradients(), added.store().dense_gradients());
    for (int layer = 0; layer < 2; ++layer) {
      expect_same(begun.store().slice_gradients(layer), added.store().slice_gradients(layer));
    }
  }
}

TEST(GpuDecoderOfTwoLayers, the_host_waits_once_per_layer) {
  if (!test::kIsObserved) GTEST_SKIP() << "nobody counts waits here";
  for (const ModelCase& c :
       {ModelCase{.name = "alone"},
        ModelCase{.name = "generated", .hyper = small_expert(HyperKind::kGenerated, true)},
        ModelCase{.name = "factorised", .router = test::small_top_p(), .hyper = without_memory()},
        ModelCase{.name = "adapters",
        .router = test::small_top_p(),
        .hyper = small_expert(HyperKind::kExpertAdapters)}}) {
    for (const Recompute recompute : {Recompute::kNone, Recompute::kBlock}) {
      OneDecoder decoder(c, gpu_device(), recompute);
      decoder.train();  // what is made once, and memory that has grown
      EXPECT_EQ(decoder.waits_of_a_microbatch(), 2U) << c.name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, GpuDecoder,
    testing::Values(
        ModelCase{.name = "top_k"}, ModelCase{.name = "bf16", .type = at::kBFloat16},
        ModelCase{.name = "top_p", .router = test::small_top_p()},
        ModelCase{.name = "released_code", .router = released()},
        ModelCase{.name = "documents", .documents = true},
        ModelCase{.name = "documents_bf16", .type = at::kBFloat16, .documents = true},
        ModelCase{.name = "wide_heads", .head_dim = 16},
        ModelCase{.name = "wide_heads_bf16", .type = at::kBFloat16, .head_dim = 16},
        ModelCase{.name = "wide_heads_documents", .documents = true, .head_dim = 16},
        ModelCase{.name = "wide_heads_documents_bf16",
                  .type = at::kBFloat16,
                  .documents = true,
                  .head_dim = 16},
        ModelCase{.name = "normalised_heads_and_tied", .qk_norm = true, .tied = true},
        ModelCase{.name = "no_tokens", .sequences = 0},
        ModelCase{.name = "generated", .hyper = small_expert()},
        ModelCase{.name = "generated_gated", .hyper = small_expert(HyperKind::kGenerated, true)},
        ModelCase{.name = "generated_bf16",
                  .type = at::kBFloat16,
                  .hyper = small_expert(HyperKind::kGenerated, true)},
        ModelCase{.name = "generated_top_p_gated",
                  .router = test::small_top_p(),
                  .hyper = small_expert(HyperKind::kGenerated, true)},
        ModelCase{.name = "factorised", .hyper = without_memory()},
        ModelCase{.name = "one_adapter", .hyper = small_expert(HyperKind::kSharedAdapter)},
        ModelCase{.name = "adapters_of_experts",
                  .router = test::small_top_p(),
                  .hyper = small_expert(HyperKind::kExpertAdapters)},
        ModelCase{.name = "generated_without_tokens",
                  .sequences = 0,
                  .hyper = small_expert(HyperKind::kGenerated, true)}),
    [](const auto& context) { return std::string(context.param.name); });

}  // namespace
}  // namespace hetmoe
