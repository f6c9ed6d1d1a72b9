#include <gtest/gtest.h>

#include "core/model/decoder.h"
#include "core/model/host_moe_layer.h"
#include "core/model/local_token_dispatcher.h"
#include "core/model/router.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kSequences = 2;
constexpr std::int64_t kLength = 5;
constexpr std::int64_t kGlobalTokens = 3 * kSequences * kLength;  // others' tokens: no statistics
constexpr std::int64_t kMicrobatches = 2;

struct DecoderCase {
  const char* name;
  bool qk_norm = false;
  bool tied = false;
  bool documents = false;
  RouterConfig router;
  HyperConfig hyper;
};

ModelConfig model_of(const DecoderCase& c) {
  ModelConfig config;
  config.vocab_size = 7;
  config.hidden_size = 6;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 2;
  config.rope_theta = 50;
  config.qk_norm = c.qk_norm;
  config.tie_embeddings = c.tied;
  config.experts.count = 4;
  config.experts.widths = {1, 2, 3, 5};
  config.router = c.router;
  config.hyper = c.hyper;
  return config;
}

/// Every expert whole but the last, which is cut.
std::vector<Slice> slices_of_model() {
  std::vector<Slice> slices;
  for (int layer = 0; layer < 2; ++layer) {
    slices.insert(slices.end(), {{layer, 0, 0, 1}, {layer, 1, 0, 2}, {layer, 2, 0, 3}});
    slices.insert(slices.end(), {{layer, 3, 0, 2}, {layer, 3, 2, 5}});
  }
  return slices;
}

class SmallDecoder {
 public:
  explicit SmallDecoder(const DecoderCase& c)
      : config_(model_of(c)),
        store_(config_, slices_of_model(), at::kDouble),
        decoder_(config_, {store_, mixture_, gate_, listener_}) {
    const at::Tensor values = test_values("parameters", {store_.elements()}, 0.6);
    std::int64_t begin = 0;
    for (at::Tensor part :
         {store_.dense_values(), store_.slice_values(0), store_.slice_values(1)}) {
      part.copy_(values.narrow(0, begin, part.numel()));
      begin += part.numel();
    }
    for (const TensorSpec& spec : store_.dense_specs()) {
      at::Tensor value = store_.dense(spec.name).value;
      // Norms near 1; of the small expert, units that are mostly active and an output that leaves
      // the experts some of the gradient.
      if (!spec.is_matrix) value.mul_(0.3).add_(1.0);
      if (spec.name.find("hyper") != std::string::npos) value.mul_(0.5);
    }
    inputs_ = {3, 1, 4, 1, 5, 2, 6, 0, 3, 3};
    targets_ = {1, 4, 1, 5, 2, 6, 0, 3, 3, 5};
    if (c.documents) document_begin_ = {0, 0, 0, 3, 3, 0, 1, 1, 1, 4};
  }

  /// (cross entropy / tokens + weighted auxiliary losses) / microbatches, from the formulas.
  double loss() {
    decoder_.parameters_changed();
    PassState pass = make_pass();
    double value = decoder_.evaluate(pass) / kGlobalTokens;
    for (int layer = 0; layer < config_.num_layers; ++layer) value += auxiliary(layer);
    const std::vector<double> selected = selections();
    if (first_selections_.empty()) first_selections_ = selected;
    selection_moved_ = selection_moved_ || selected != first_selections_;
    return value / kMicrobatches;
  }

  double forward_and_backward() {
    PassState pass = make_pass();
    const double cross_entropy = decoder_.forward(pass).value();
    decoder_.backward(pass);
    return cross_entropy;
  }

  double cross_entropy() {
    PassState pass = make_pass();
    return decoder_.evaluate(pass);
  }

  ParameterStore& store() { return store_; }
  bool selection_moved() const { return selection_moved_; }

 private:
  PassState make_pass() {
    statistics_.clear();
    return {.microbatch = {.sequences = kSequences,
                           .length = kLength,
                           .inputs = inputs_,
                           .targets = targets_,
                           .document_begin = document_begin_,
                           .global_tokens = kGlobalTokens,
                           .microbatches = kMicrobatches,
                           .index = kMicrobatches - 1},
            .statistics = &statistics_};
  }

  double auxiliary(int layer) {
    const LayerStatistics sums = statistics_.layer(layer);
    const double tokens = kGlobalTokens;
    const double widths[] = {1, 2, 3, 5};
    const RouterConfig& router = config_.router;
    double value = router.entropy * *sums.entropy / tokens;
    for (std::size_t i = 0; i < 4; ++i) {
      const double balance = 4 * sums.selected[i] / tokens * sums.probability[i] / tokens;
      value += router.load_balance * balance;
      if (router.penalty_form == PenaltyForm::kPaper) {
        value += router.parameter_penalty * balance * widths[i] / 2.75;
      }
    }
    if (router.penalty_form == PenaltyForm::kReleasedCode) {
      value += router.parameter_penalty * *sums.released_penalty / (tokens * router.top_k * 4);
    }
    return value;
  }

  std::vector<double> selections() {
    std::vector<double> all;
    for (int layer = 0; layer < 2; ++layer) {
      const auto selected = statistics_.layer(layer).selected;
      all.insert(all.end(), selected.begin(), selected.end());
    }
    return all;
  }

  ModelConfig config_;
  ParameterStore store_;
  HostMixture mixture_{make_cpu_expert_kernels(), make_local_token_dispatcher(slices_of_model())};
  OpenParameterGate gate_;
  NoGradientListener listener_;
  RouterStatistics statistics_{2, 4};
  std::vector<std::int32_t> inputs_, targets_, document_begin_;
  Decoder decoder_;
  std::vector<double> first_selections_;
  bool selection_moved_ = false;
};

class DecoderGradient : public testing::TestWithParam<DecoderCase> {};

TEST_P(DecoderGradient, OfEveryParameterMatchesFiniteDifferences) {
  SmallDecoder model(GetParam());
  const double cross_entropy = model.forward_and_backward();
  EXPECT_NEAR(cross_entropy, model.cross_entropy(), 1e-12);
  const auto value = [&] { return model.loss(); };
  ParameterStore& store = model.store();
  for (const TensorSpec& spec : store.dense_specs()) {
    const Parameter& parameter = store.dense(spec.name);
    EXPECT_LT(relative_gradient_error(value, parameter.value, parameter.gradient), 1e-6)
        << spec.name;
    EXPECT_GT(parameter.gradient.abs().max().item<double>(), 1e-6) << spec.name;
  }
  for (int layer = 0; layer < 2; ++layer) {
    for (std::size_t i = 0; i < store.layer_weights(layer).size(); ++i) {
      const SliceWeights& slice = store.layer_weights(layer)[i];
      EXPECT_LT(relative_gradient_error(value, slice.gate_up, slice.gate_up_gradient), 1e-6)
          << "layer " << layer << ", slice " << i;
      EXPECT_LT(relative_gradient_error(value, slice.down, slice.down_gradient), 1e-6)
          << "layer " << layer << ", slice " << i;
    }
  }
  EXPECT_FALSE(model.selection_moved()) << "the case lies on a tie: choose other values";
}

RouterConfig top_k(int k) {
  return {.kind = RouterKind::kTopK,
          .top_k = k,
          .parameter_penalty = 0.5,
          .load_balance = 0.3,
          .entropy = 0.2};
}

RouterConfig top_p(Renormalize renormalize) {
  RouterConfig router = top_k(2);
  router.kind = RouterKind::kTopP;
  router.renormalize = renormalize;
  return router;
}

RouterConfig released(RouterConfig router) {
  router.penalty_form = PenaltyForm::kReleasedCode;
  return router;
}

HyperConfig hyper(HyperKind kind = HyperKind::kGenerated) {
  return {.enabled = true,
          .kind = kind,
          .rank = 3,
          .hidden = 4,
          .embedding = 3,
          .process = 3,
          .input = 2,
          .layer_embedding = 2};
}

HyperConfig gated(Aggregate aggregate) {
  HyperConfig config = hyper();
  config.conditioning = Conditioning::kSelected;
  config.aggregate = aggregate;
  config.gated = true;
  return config;
}

INSTANTIATE_TEST_SUITE_P(
    HyperModels, DecoderGradient,
    testing::Values(
        DecoderCase{"hyper_top_1_tied", false, true, false, top_k(1), hyper()},
        DecoderCase{"hyper_top_2", false, false, false, top_k(2), hyper()},
        DecoderCase{"hyper_top_p", false, false, false, top_p(Renormalize::kTrue), hyper()},
        DecoderCase{"hyper_gated_mean", false, false, false, top_k(2), gated(Aggregate::kMean)},
        DecoderCase{"hyper_gated_centred_top_p", false, false, false, top_p(Renormalize::kFalse),
                    gated(Aggregate::kCentred)},
        DecoderCase{"shared_adapter", false, false, false, top_k(2),
                    hyper(HyperKind::kSharedAdapter)},
        DecoderCase{"expert_adapters", false, false, false, top_k(2),
                    hyper(HyperKind::kExpertAdapters)},
        DecoderCase{"expert_adapters_top_p", false, false, false, top_p(Renormalize::kTrue),
                    hyper(HyperKind::kExpertAdapters)}),
    [](const auto& instance) { return instance.param.name; });

INSTANTIATE_TEST_SUITE_P(Models, DecoderGradient,
                         testing::Values(DecoderCase{"top_2", false, false, false, top_k(2)},
                                         DecoderCase{"top_1_tied", false, true, false, top_k(1)},
                                         DecoderCase{"top_p_head_norms_documents", true, false,
                                                     true, top_p(Renormalize::kTrue)},
                                         DecoderCase{"top_p_released_tied_documents", true, true,
                                                     true, released(top_p(Renormalize::kFalse))},
                                         DecoderCase{"top_2_released", false, false, true,
                                                     released(top_k(2))}),
                         [](const auto& instance) { return instance.param.name; });

TEST(Decoder, GradientsOfTwoPassesAddUp) {
  const DecoderCase c{"", true, true, true, top_k(2)};
  SmallDecoder once(c);
  once.forward_and_backward();
  SmallDecoder twice(c);
  twice.forward_and_backward();
  twice.forward_and_backward();
  const auto expect_twice = [](const at::Tensor& of_two, const at::Tensor& of_one) {
    EXPECT_LT(relative_difference(of_two, of_one.mul(2)), 1e-13);
  };
  expect_twice(twice.store().dense_gradients(), once.store().dense_gradients());
  for (const int layer : {0, 1}) {
    expect_twice(twice.store().slice_gradients(layer), once.store().slice_gradients(layer));
  }
}

}  // namespace
}  // namespace hetmoe
