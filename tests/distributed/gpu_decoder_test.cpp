// A decoder on the GPUs of several ranks beside the same decoder on one CPU.
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "core/model/decoder.h"
#include "core/tensor/device.h"
#include "parallel/communicator/nccl_communicator.h"
#include "parallel/dispatch/placed_mixture.h"
#include "parallel/dispatch/tensor_buffer.h"
#include "parallel/placement/held_slices.h"
#include "tests/support/gradient_check.h"
#include "tests/support/mpi_world.h"
#include "tests/support/small_decoder.h"

namespace hetmoe::test {
namespace {

struct DecoderCase {
  const char* name;
  at::ScalarType type = at::kFloat;
  RouterConfig router;
  bool replicated = false;
};

/// Layer 0 is whole; of layer 1 wide experts are cut, or the widest is on two ranks.
Placement placement_of(const DecoderCase& c, int ranks) {
  Placement placement;
  placement.layers.resize(2);
  for (int e = 0; e < static_cast<int>(kSmallWidths.size()); ++e) {
    const std::int64_t width = kSmallWidths[static_cast<std::size_t>(e)];
    const int rank = (e + 1) % ranks;
    const int other = (rank + 1) % ranks;
    placement.layers[0].slices.push_back({e, e % ranks, 0, width});
    auto& slices = placement.layers[1].slices;
    if (c.replicated && width == 24 && ranks > 1) {
      slices.push_back({e, std::min(rank, other), 0, width, 0.4});
      slices.push_back({e, std::max(rank, other), 0, width, 0.6});
    } else if (width > 8 && ranks > 1) {
      slices.push_back({e, rank, 0, 5});
      slices.push_back({e, other, 5, width});
    } else {
      slices.push_back({e, rank, 0, width});
    }
  }
  return placement;
}

/// Rank 1 has no tokens.
std::int64_t sequences_of(int rank) { return rank == 1 ? 0 : 1 + rank % 2; }

/// Which sequences of the global batch a decoder computes.
struct Batch {
  std::int64_t begin = 0;
  std::int64_t sequences = 0;
  std::int64_t global_sequences = 0;
};

class OneDecoder {
 public:
  OneDecoder(const DecoderCase& c, const Placement& placement, Communicator& group,
             at::Device device)
      : config_(small_decoder(c.router)),
        store_(config_, slices_of_rank(placement, group.rank()), c.type, GradientMemory::kHeld,
               device),
        mixture_(group, placement,
                 {.type = c.type,
                  .hidden_size = config_.hidden_size,
                  .on_gpu = !device.is_cpu(),
                  .dispatch_parts = 2}),
        decoder_(config_, {store_, mixture_.get(), gate_, listener_}) {
    store_.dense_values().copy_(test_values("dense", store_.dense_values().sizes(), 0.5));
    set_norms(store_);
    for_each_part([](const std::string& name, SliceWeights& weights, const Slice& slice) {
      const std::int64_t width = kSmallWidths[static_cast<std::size_t>(slice.expert)];
      const at::Tensor whole = test_values(name.c_str(), {3, width, weights.down.size(1)}, 0.5);
      const at::Tensor part = whole.narrow(1, slice.begin, slice.width());
      weights.gate_up.copy_(part.narrow(0, 0, 2).reshape(weights.gate_up.sizes()));
      weights.down.copy_(part[2]);
    });
  }

  /// The sum of this rank's losses. `hosts` sums the statistics.
  double train(const Batch& batch, Communicator& hosts) {
    const SmallText text(batch.begin, batch.sequences);
    RouterStatistics statistics(config_.num_layers, config_.experts.count);
    PassState pass{.microbatch = {.sequences = batch.sequences,
                                  .length = kSmallLength,
                                  .inputs = text.inputs,
                                  .targets = text.targets,
                                  .document_begin = {},
                                  .global_tokens = batch.global_sequences * kSmallLength},
                   .statistics = &statistics};
    const double loss = decoder_.forward(pass).value();
    make_global(pass, hosts);
    decoder_.backward(pass);
    return loss;
  }

  /// The statistics, wherever they were counted.
  static void make_global(PassState& pass, Communicator& hosts) {
    if (!pass.gpu.statistics.defined()) {
      hosts.all_reduce(buffer_of(pass.statistics->values()), Reduction::kSum).wait();
      return;
    }
    at::Tensor here = pass.gpu.statistics.to(at::kCPU);
    hosts.all_reduce(tensor_buffer(here), Reduction::kSum).wait();
    pass.gpu.statistics.copy_(here);
  }

  std::int64_t dense_elements() const { return store_.dense_elements(); }
  /// This rank's part of all gradients, fp64: dense ones, then whole experts, 0 where others hold.
  at::Tensor gradients() {
    std::vector<at::Tensor> all = {store_.dense_gradients().to(at::kCPU).to(at::kDouble).flatten()};
    std::vector<at::Tensor> experts;
    for (int layer = 0; layer < config_.num_layers; ++layer) {
      for (const std::int64_t width : kSmallWidths) {
        experts.push_back(
            at::zeros({3, width, config_.hidden_size}, at::TensorOptions(at::kDouble)));
      }
    }
    for_each_part([&](const std::string&, SliceWeights& weights, const Slice& slice) {
      const std::size_t index = static_cast<std::size_t>(slice.layer) * kSmallWidths.size() +
                                static_cast<std::size_t>(slice.expert);
      at::Tensor part = experts[index].narrow(1, slice.begin, slice.width());
      part.narrow(0, 0, 2).add_(
          weights.gate_up_gradient.to(at::kCPU).view({2, slice.width(), config_.hidden_size}));
      part[2].add_(weights.down_gradient.to(at::kCPU));
    });
    for (const at::Tensor& expert : experts) all.push_back(expert.flatten());
    return at::cat(all);
  }

 private:
  template <typename Body>
  void for_each_part(Body body) {
    for (int layer = 0; layer < config_.num_layers; ++layer) {
      const auto weights = store_.layer_weights(layer);
      const auto slices = store_.layer_slices(layer);
      for (std::size_t i = 0; i < weights.size(); ++i) {
        const std::string name =
            "expert" + std::to_string(layer) + "_" + std::to_string(slices[i].expert);
        body(name, weights[i], slices[i]);
      }
    }
  }

  ModelConfig config_;
  ParameterStore store_;
  PlacedMixture mixture_;
  OpenParameterGate gate_;
  NoGradientListener listener_;
  Decoder decoder_;
};

class GpuDecoders : public testing::TestWithParam<DecoderCase> {};

TEST_P(GpuDecoders, lose_and_learn_what_one_cpu_does) {
  Communicator& hosts = test_world();
  DeviceGroups groups(60);
  const auto devices = make_nccl_communicator(
      hosts.split(0, hosts.rank()),
      {.compute_stream = &compute_stream, .groups = &groups, .scratch_bytes = 1 << 16});
  Batch part{.sequences = sequences_of(hosts.rank())};
  for (int rank = 0; rank < hosts.size(); ++rank) {
    if (rank == hosts.rank()) part.begin = part.global_sequences;
    part.global_sequences += sequences_of(rank);
  }
  OneDecoder there(GetParam(), placement_of(GetParam(), hosts.size()), *devices, gpu_device());
  double loss = there.train(part, hosts);
  at::Tensor gradients = there.gradients();
  hosts.all_reduce({&loss, 1, DataType::kFloat64}, Reduction::kSum).wait();
  hosts
      .all_reduce({gradients.mutable_data_ptr(), gradients.numel(), DataType::kFloat64},
                  Reduction::kSum)
      .wait();

  const auto alone = hosts.split(hosts.rank(), 0);
  OneDecoder here(GetParam(), placement_of(GetParam(), 1), *alone, at::kCPU);
  const double expected = here.train(
      {.sequences = part.global_sequences, .global_sequences = part.global_sequences}, *alone);
  const double tolerance = GetParam().type == at::kFloat ? 2e-5 : 3e-2;
  EXPECT_NEAR(loss, expected, tolerance * expected);
  const at::Tensor alike = here.gradients();
  const std::int64_t dense = here.dense_elements();
  const std::int64_t experts = alike.numel() - dense;
  EXPECT_LT(relative_difference(gradients.narrow(0, 0, dense), alike.narrow(0, 0, dense)),
            tolerance);
  EXPECT_LT(
      relative_difference(gradients.narrow(0, dense, experts), alike.narrow(0, dense, experts)),
      tolerance);
}

INSTANTIATE_TEST_SUITE_P(Models, GpuDecoders,
                         testing::Values(DecoderCase{.name = "top_k"},
                                         DecoderCase{.name = "top_p", .router = small_top_p()},
                                         DecoderCase{.name = "replicas", .replicated = true},
                                         DecoderCase{.name = "bf16", .type = at::kBFloat16}),
                         [](const auto& context) { return std::string(context.param.name); });

}  // namespace
}  // namespace hetmoe::test
