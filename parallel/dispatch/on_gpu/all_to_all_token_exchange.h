#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "core/model/gpu_token_dispatcher.h"
#include "parallel/dispatch/on_gpu/count_exchange.h"
#include "parallel/dispatch/on_gpu/placed_layer.h"
#include "parallel/dispatch/on_gpu/received_places.h"
#include "parallel/dispatch/on_gpu/source_rows.h"
#include "parallel/dispatch/traffic.h"

namespace hetmoe::on_gpu {

/// One dispatch over a group (gpu_all_to_all.h).
class AllToAllTokenExchange final : public GpuTokenExchange {
 public:
  /// Starts all that needs no count. `traffic` must outlive it; `layer` until all is dispatched.
  AllToAllTokenExchange(Traffic& traffic, const PlacedLayer& layer, const at::Tensor& x,
                        const GpuRouting& routing);

  int parts() const override { return num_parts_; }
  Received finish_dispatch(int part) override;
  void start_combine(int part, const at::Tensor& partial) override;
  at::Tensor finish_combine() override;
  void start_dispatch_gradient(const at::Tensor& dy) override;
  at::Tensor finish_dispatch_gradient(int part) override;
  void start_combine_gradient(int part, const at::Tensor& partial,
                              const at::Tensor& dgate) override;
  Gradient finish_combine_gradient() override;

 private:
  /// What lies where among all that this rank sends, or gets back.
  struct Range {
    std::int64_t begin = 0, count = 0;
  };
  struct Part {
    ExchangedCounts counts;
    Range rows, pairs;
    std::optional<ReceivedPlacing> placing;
    at::Tensor place_of_pair;  ///< of the pairs that came
    at::Tensor wire_in, rows_out, rows_in, dgates_out;
    // Last: destroyed first, so that nothing is under way when the buffers go.
    std::optional<Pending> metadata_pending, rows_pending;
  };

  void start_parts();
  void start_wire(Part& part);
  void start_to_experts(Part& part, const at::Tensor& rows);
  void start_back(Part& part, const at::Tensor& partial);
  at::Tensor finish_back();
  static at::Tensor finish_rows(Part& part);

  Traffic& traffic_;
  int num_parts_;
  at::Tensor x_;  ///< until it is sent
  std::int64_t pairs_per_row_;
  SourceRows source_;
  CountExchange count_exchange_;
  at::Tensor rows_back_, dgates_back_;  ///< of all parts
  std::vector<Part> parts_;             // last: their exchanges write to the buffers above
};

}  // namespace hetmoe::on_gpu
