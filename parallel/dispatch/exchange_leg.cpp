#include "parallel/dispatch/exchange_leg.h"

#include "core/base/check.h"
#include "parallel/dispatch/tensor_buffer.h"

namespace hetmoe {

Pending ExchangeLeg::start_rows(const at::Tensor& out, const at::Tensor& in) const {
  return traffic.exchange(Traffic::kDispatch, const_tensor_buffer(out), times(rows_out, columns),
                          tensor_buffer(in), times(rows_in, columns));
}

Pending ExchangeLeg::start_selections(std::span<const SelectionOnWire> out,
                                      std::span<SelectionOnWire> in) const {
  constexpr std::int64_t kBytes = sizeof(SelectionOnWire);
  return traffic.exchange(
      Traffic::kDispatch,
      {out.data(), static_cast<std::int64_t>(out.size()) * kBytes, DataType::kByte},
      times(selections_out, kBytes),
      {in.data(), static_cast<std::int64_t>(in.size()) * kBytes, DataType::kByte},
      times(selections_in, kBytes));
}

Pending ExchangeLeg::return_rows(const at::Tensor& in, const at::Tensor& out) const {
  return traffic.exchange(Traffic::kCombine, const_tensor_buffer(in), times(rows_in, columns),
                          tensor_buffer(out), times(rows_out, columns));
}

Pending ExchangeLeg::return_gate_gradients(std::span<const double> in,
                                           std::span<double> out) const {
  return traffic.exchange(Traffic::kCombine, const_buffer_of<double>(in), selections_in,
                          buffer_of<double>(out), selections_out);
}

void exchange_equal_parts(const Traffic& traffic, const Counts& send, Counts& receive) {
  Communicator& group = traffic.group();
  const Counts part(group.size(), static_cast<std::int64_t>(send.size()) / group.size());
  group
      .all_to_all_v(const_buffer_of<std::int64_t>(send), part,
                    buffer_of<std::int64_t>(std::span<std::int64_t>(receive)), part)
      .wait();
}

void append_selections(std::span<const SelectionOnWire> wire, const ExchangeLeg& leg,
                       std::int64_t first_row, ReceivedTokens& received) {
  std::size_t at = 0;
  for (std::size_t rank = 0; rank < leg.rows_in.size(); ++rank) {
    for (std::int64_t i = 0; i < leg.selections_in[rank]; ++i, ++at) {
      HETMOE_CHECK(wire[at].row >= 0 && wire[at].row < leg.rows_in[rank], "row ", wire[at].row,
                   " of ", leg.rows_in[rank], " from rank ", rank);
      received.row.push_back(first_row + wire[at].row);
      received.slice.push_back(wire[at].slice);
      received.gate.push_back(wire[at].gate);
    }
    first_row += leg.rows_in[rank];
  }
}

}  // namespace hetmoe
