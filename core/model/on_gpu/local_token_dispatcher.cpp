#include <ATen/ops/empty.h>

#include <utility>

#include "core/gpu/stream.h"
#include "core/kernels/on_gpu/pointers.h"
#include "core/model/gpu_mixture.h"
#include "core/model/on_gpu/token_pairs.h"
#include "core/tensor/device.h"

namespace hetmoe {
namespace {

using on_gpu::PlacedPairs;
using on_gpu::ServerTable;

class LocalGpuTokenExchange final : public GpuTokenExchange {
 public:
  LocalGpuTokenExchange(const at::Tensor& x, const GpuRouting& routing, const ServerTable& table)
      : x_(x), pairs_(routing, table), count_(empty_pinned({table.num_slices()}, at::kInt)) {
    count_.copy_(pairs_.count, /*non_blocking=*/true);
    counted_.record(compute_stream());
  }

  int parts() const override { return 1; }

  Received finish_dispatch(int) override {
    counted_.wait();
    Received received;
    received.x = x_;
    const auto* count = count_.const_data_ptr<std::int32_t>();
    received.places.of_slice.assign(count, count + count_.numel());
    std::int64_t places = 0;
    for (const std::int64_t of_slice : received.places.of_slice) places += of_slice;
    const auto& options = pairs_.slice.options();
    received.places.row = at::empty({places}, options);
    received.places.gate = at::empty({places}, options.dtype(at::kFloat));
    received.places.of_row = at::empty({x_.size(0), pairs_.pairs_per_token}, options);
    gpu::place_local(pairs_.selections(), pairs_.pairs(),
                     {.pair_position = on_gpu::data<std::int32_t>(pairs_.position),
                      .row = on_gpu::mutable_data<std::int32_t>(received.places.row),
                      .gate = on_gpu::mutable_data<float>(received.places.gate),
                      .places = on_gpu::mutable_data<std::int32_t>(received.places.of_row)},
                     compute_stream());
    return received;
  }

  void start_combine(int, const at::Tensor& partial) override { rows_ = partial; }
  at::Tensor finish_combine() override { return std::move(rows_); }
  void start_dispatch_gradient(const at::Tensor& dy) override { rows_ = dy; }
  at::Tensor finish_dispatch_gradient(int) override { return std::move(rows_); }
  void start_combine_gradient(int, const at::Tensor& partial, const at::Tensor& dgate) override {
    rows_ = partial;
    dgate_ = on_gpu::gate_gradients(pairs_, dgate);
  }
  Gradient finish_combine_gradient() override { return {std::move(rows_), std::move(dgate_)}; }

 private:
  at::Tensor x_;
  PlacedPairs pairs_;
  at::Tensor count_;  ///< of the host
  gpu::OwnedEvent counted_;
  at::Tensor rows_, dgate_;
};

/// Every expert's slices here, by row; a layer's are numbered as they lie in the store.
std::vector<std::vector<std::vector<ServerTable::Run>>> servers_of(
    const std::vector<Slice>& slices) {
  std::vector<std::vector<std::vector<ServerTable::Run>>> layers;
  std::int32_t number = 0;
  for (const Slice& slice : slices) {
    const auto layer = static_cast<std::size_t>(slice.layer);
    const auto expert = static_cast<std::size_t>(slice.expert);
    if (layer >= layers.size()) {
      layers.resize(layer + 1);
      number = 0;
    }
    if (expert >= layers[layer].size()) layers[layer].resize(expert + 1);
    layers[layer][expert].push_back({{.rank = 0, .slice = number++}});
  }
  return layers;
}

class LocalGpuTokenDispatcher final : public GpuTokenDispatcher {
 public:
  explicit LocalGpuTokenDispatcher(const std::vector<Slice>& slices) {
    for (const auto& layer : servers_of(slices)) tables_.emplace_back(layer);
  }

  std::unique_ptr<GpuTokenExchange> start_dispatch(int layer, const at::Tensor& x,
                                                   const GpuRouting& routing) override {
    return std::make_unique<LocalGpuTokenExchange>(x, routing,
                                                   tables_[static_cast<std::size_t>(layer)]);
  }
  ExchangedBytes bytes_sent() const override { return {}; }

 private:
  std::vector<ServerTable> tables_;
};

}  // namespace

std::unique_ptr<GpuTokenDispatcher> make_local_gpu_token_dispatcher(
    const std::vector<Slice>& slices) {
  return std::make_unique<LocalGpuTokenDispatcher>(slices);
}

}  // namespace hetmoe
