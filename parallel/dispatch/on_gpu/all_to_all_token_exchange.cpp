#include "parallel/dispatch/on_gpu/all_to_all_token_exchange.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include <utility>

#include "core/base/check.h"
#include "core/kernels/on_gpu/rows.h"
#include "parallel/dispatch/tensor_buffer.h"

namespace hetmoe::on_gpu {

AllToAllTokenExchange::AllToAllTokenExchange(Traffic& traffic, const PlacedLayer& layer,
                                             const at::Tensor& x, const GpuRouting& routing)
    : traffic_(traffic),
      num_parts_(layer.parts().count),
      x_(x),
      pairs_per_row_(layer.most_pairs_of_row(routing.most_per_token)),
      source_(routing, layer.servers(), layer.parts()),
      count_exchange_(traffic.group(), layer, source_.rows_to_rank, source_.pairs.count) {
  source_.write_lists();
  count_exchange_.start_copies();
}

GpuTokenExchange::Received AllToAllTokenExchange::finish_dispatch(int part) {
  if (part == 0) start_parts();
  Part& here = parts_[static_cast<std::size_t>(part)];
  here.metadata_pending->wait();
  ReceivedPlaces received = here.placing->place(std::exchange(here.wire_in, at::Tensor()));
  here.placing.reset();
  here.place_of_pair = std::move(received.of_pair);
  if (part + 1 == num_parts_) source_.wire.reset();
  return {.x = finish_rows(here), .places = std::move(received.places)};
}

void AllToAllTokenExchange::start_combine(int part, const at::Tensor& partial) {
  start_back(parts_[static_cast<std::size_t>(part)], partial);
}

at::Tensor AllToAllTokenExchange::finish_combine() { return finish_back(); }

void AllToAllTokenExchange::start_dispatch_gradient(const at::Tensor& dy) {
  for (Part& part : parts_) start_to_experts(part, dy);
}

at::Tensor AllToAllTokenExchange::finish_dispatch_gradient(int part) {
  return finish_rows(parts_[static_cast<std::size_t>(part)]);
}

void AllToAllTokenExchange::start_combine_gradient(int part, const at::Tensor& partial,
                                                   const at::Tensor& dgate) {
  Part& here = parts_[static_cast<std::size_t>(part)];
  HETMOE_CHECK(dgate.size(0) == here.place_of_pair.size(0), dgate.size(0), " gate gradients for ",
               here.place_of_pair.size(0), " received selections");
  if (!dgates_back_.defined()) {
    const Range& last = parts_.back().pairs;
    dgates_back_ = at::empty({last.begin + last.count}, dgate.options());
  }
  here.dgates_out = dgate.index_select(0, here.place_of_pair);
  here.metadata_pending.emplace(traffic_.exchange(
      Traffic::kCombine, const_tensor_buffer(here.dgates_out), here.counts.pairs_from_rank,
      tensor_buffer(dgates_back_.narrow(0, here.pairs.begin, here.pairs.count)),
      here.counts.pairs_to_rank));
  start_back(here, partial);
}

GpuTokenExchange::Gradient AllToAllTokenExchange::finish_combine_gradient() {
  for (Part& part : parts_) {
    part.metadata_pending->wait();
    part.dgates_out.reset();
  }
  at::Tensor dgate = gate_gradients(source_.pairs, std::exchange(dgates_back_, at::Tensor()));
  return {.dx = finish_back(), .dgate = std::move(dgate)};
}

/// All of them at once: later ones travel while the first is computed. Tables for what comes are
/// uploaded meanwhile.
void AllToAllTokenExchange::start_parts() {
  Range rows, pairs;
  for (ExchangedCounts& counts : count_exchange_.wait()) {
    rows = {.begin = rows.begin + rows.count, .count = sum(counts.rows_to_rank)};
    pairs = {.begin = pairs.begin + pairs.count, .count = sum(counts.pairs_to_rank)};
    Part& part = parts_.emplace_back();
    part.counts = std::move(counts);
    part.rows = rows;
    part.pairs = pairs;
  }
  for (Part& part : parts_) {
    start_wire(part);
    start_to_experts(part, x_);
  }
  x_.reset();
  for (Part& part : parts_) part.placing.emplace(part.counts, pairs_per_row_);
}

void AllToAllTokenExchange::start_wire(Part& part) {
  constexpr std::int64_t kBytes = sizeof(gpu::PairOnWire);
  part.wire_in = at::empty({sum(part.counts.pairs_from_rank) * kBytes}, source_.wire.options());
  part.metadata_pending.emplace(
      traffic_.exchange(Traffic::kDispatch,
                        const_tensor_buffer(source_.wire.narrow(0, part.pairs.begin * kBytes,
                                                                part.pairs.count * kBytes)),
                        times(part.counts.pairs_to_rank, kBytes), tensor_buffer(part.wire_in),
                        times(part.counts.pairs_from_rank, kBytes)));
}

void AllToAllTokenExchange::start_to_experts(Part& part, const at::Tensor& rows) {
  const std::int64_t columns = rows.size(1);
  part.rows_out = gather_rows(rows, source_.row_token.narrow(0, part.rows.begin, part.rows.count));
  part.rows_in = at::empty({sum(part.counts.rows_from_rank), columns}, rows.options());
  part.rows_pending.emplace(
      traffic_.exchange(Traffic::kDispatch, const_tensor_buffer(part.rows_out),
                        times(part.counts.rows_to_rank, columns), tensor_buffer(part.rows_in),
                        times(part.counts.rows_from_rank, columns)));
}

void AllToAllTokenExchange::start_back(Part& part, const at::Tensor& partial) {
  const std::int64_t columns = partial.size(1);
  if (!rows_back_.defined()) {
    const Range& last = parts_.back().rows;
    rows_back_ = at::empty({last.begin + last.count, columns}, partial.options());
  }
  part.rows_out = partial.contiguous();
  part.rows_pending.emplace(
      traffic_.exchange(Traffic::kCombine, const_tensor_buffer(part.rows_out),
                        times(part.counts.rows_from_rank, columns),
                        tensor_buffer(rows_back_.narrow(0, part.rows.begin, part.rows.count)),
                        times(part.counts.rows_to_rank, columns)));
}

at::Tensor AllToAllTokenExchange::finish_back() {
  for (Part& part : parts_) finish_rows(part);
  return sum_rows(std::exchange(rows_back_, at::Tensor()), source_.token_rows);
}

at::Tensor AllToAllTokenExchange::finish_rows(Part& part) {
  part.rows_pending->wait();
  part.rows_out.reset();
  return std::exchange(part.rows_in, at::Tensor());
}

}  // namespace hetmoe::on_gpu
