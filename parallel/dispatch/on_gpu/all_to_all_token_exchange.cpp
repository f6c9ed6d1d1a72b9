#include "parallel/dispatch/on_gpu/all_to_all_token_exchange.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <utility>

#include "core/base/check.h"
#include "core/kernels/on_gpu/rows.h"
#include "parallel/dispatch/on_gpu/received_places.h"
#include "parallel/dispatch/tensor_buffer.h"

namespace hetmoe::on_gpu {

AllToAllTokenExchange::AllToAllTokenExchange(Traffic& traffic, const PlacedLayer& layer,
                                             const at::Tensor& x, const GpuRouting& routing)
    : traffic_(traffic),
      x_(x),
      pairs_per_row_(layer.most_pairs_of_row(routing.most_per_token)),
      source_(routing, layer.servers(), traffic.group().size()),
      count_exchange_(traffic.group(), layer, source_.rows_to_rank, source_.pairs.count) {
  source_.write_lists();
  count_exchange_.start_copies();
}

GpuTokenExchange::Received AllToAllTokenExchange::finish_dispatch() {
  counts_ = count_exchange_.wait();
  start_wire();
  start_to_experts(std::exchange(x_, at::Tensor()));
  const ReceivedPlacing placing(counts_, pairs_per_row_);
  metadata_->wait();
  source_.wire.reset();
  ReceivedPlaces received = placing.place(std::exchange(wire_in_, at::Tensor()));
  place_of_pair_ = std::move(received.of_pair);
  return {.x = finish_rows(), .places = std::move(received.places)};
}

void AllToAllTokenExchange::start_combine(const at::Tensor& partial) { start_back(partial); }

at::Tensor AllToAllTokenExchange::finish_combine() {
  return sum_rows(finish_rows(), source_.token_rows);
}

void AllToAllTokenExchange::start_dispatch_gradient(const at::Tensor& dy) { start_to_experts(dy); }

at::Tensor AllToAllTokenExchange::finish_dispatch_gradient() { return finish_rows(); }

void AllToAllTokenExchange::start_combine_gradient(const at::Tensor& partial,
                                                   const at::Tensor& dgate) {
  HETMOE_CHECK(dgate.size(0) == place_of_pair_.size(0), dgate.size(0), " gate gradients for ",
               place_of_pair_.size(0), " received selections");
  dgates_out_ = dgate.index_select(0, place_of_pair_);
  dgates_in_ = at::empty({sum(counts_.pairs_to_rank)}, dgate.options());
  metadata_.emplace(traffic_.exchange(Traffic::kCombine, const_tensor_buffer(dgates_out_),
                                      counts_.pairs_from_rank, tensor_buffer(dgates_in_),
                                      counts_.pairs_to_rank));
  start_back(partial);
}

GpuTokenExchange::Gradient AllToAllTokenExchange::finish_combine_gradient() {
  metadata_->wait();
  dgates_out_.reset();
  at::Tensor dgate = gate_gradients(source_.pairs, std::exchange(dgates_in_, at::Tensor()));
  return {.dx = sum_rows(finish_rows(), source_.token_rows), .dgate = std::move(dgate)};
}

void AllToAllTokenExchange::start_wire() {
  constexpr std::int64_t kBytes = sizeof(gpu::PairOnWire);
  wire_in_ = at::empty({sum(counts_.pairs_from_rank) * kBytes}, source_.wire.options());
  metadata_.emplace(traffic_.exchange(
      Traffic::kDispatch,
      const_tensor_buffer(source_.wire.narrow(0, 0, sum(counts_.pairs_to_rank) * kBytes)),
      times(counts_.pairs_to_rank, kBytes), tensor_buffer(wire_in_),
      times(counts_.pairs_from_rank, kBytes)));
}

void AllToAllTokenExchange::start_to_experts(const at::Tensor& rows) {
  start_rows(Traffic::kDispatch,
             gather_rows(rows, source_.row_token.narrow(0, 0, sum(counts_.rows_to_rank))),
             counts_.rows_to_rank, counts_.rows_from_rank);
}

void AllToAllTokenExchange::start_back(const at::Tensor& partial) {
  start_rows(Traffic::kCombine, partial.contiguous(), counts_.rows_from_rank, counts_.rows_to_rank);
}

void AllToAllTokenExchange::start_rows(Traffic::Direction direction, const at::Tensor& rows,
                                       const Counts& to_rank, const Counts& from_rank) {
  const std::int64_t columns = rows.size(1);
  rows_out_ = rows;
  rows_in_ = at::empty({sum(from_rank), columns}, rows.options());
  rows_.emplace(traffic_.exchange(direction, const_tensor_buffer(rows_out_),
                                  times(to_rank, columns), tensor_buffer(rows_in_),
                                  times(from_rank, columns)));
}

at::Tensor AllToAllTokenExchange::finish_rows() {
  rows_->wait();
  rows_out_.reset();
  return std::exchange(rows_in_, at::Tensor());
}

}  // namespace hetmoe::on_gpu
