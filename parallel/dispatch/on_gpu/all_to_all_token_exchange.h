#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

#include "core/model/gpu_token_dispatcher.h"
#include "parallel/dispatch/on_gpu/count_exchange.h"
#include "parallel/dispatch/on_gpu/placed_layer.h"
#include "parallel/dispatch/on_gpu/source_rows.h"
#include "parallel/dispatch/traffic.h"

namespace hetmoe::on_gpu {

/// One dispatch over a group (gpu_all_to_all.h).
class AllToAllTokenExchange final : public GpuTokenExchange {
 public:
  /// Starts all that needs no count. `traffic` must outlive it; `layer` until finish_dispatch.
  AllToAllTokenExchange(Traffic& traffic, const PlacedLayer& layer, const at::Tensor& x,
                        const GpuRouting& routing);

  Received finish_dispatch() override;
  void start_combine(const at::Tensor& partial) override;
  at::Tensor finish_combine() override;
  void start_dispatch_gradient(const at::Tensor& dy) override;
  at::Tensor finish_dispatch_gradient() override;
  void start_combine_gradient(const at::Tensor& partial, const at::Tensor& dgate) override;
  Gradient finish_combine_gradient() override;

 private:
  void start_wire();
  void start_to_experts(const at::Tensor& rows);
  void start_back(const at::Tensor& partial);
  void start_rows(Traffic::Direction direction, const at::Tensor& rows, const Counts& to_rank,
                  const Counts& from_rank);
  at::Tensor finish_rows();

  Traffic& traffic_;
  at::Tensor x_;  ///< until it is sent
  std::int64_t pairs_per_row_;
  SourceRows source_;
  CountExchange count_exchange_;
  ExchangedCounts counts_;
  at::Tensor place_of_pair_;  ///< of the pairs that came
  at::Tensor wire_in_, rows_out_, rows_in_, dgates_out_, dgates_in_;
  // Last: destroyed first, so that nothing is under way when the buffers go.
  std::optional<Pending> metadata_;
  std::optional<Pending> rows_;
};

}  // namespace hetmoe::on_gpu
