#include "parallel/dispatch/on_gpu/count_exchange.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include "core/tensor/device.h"

namespace hetmoe::on_gpu {
namespace {

constexpr std::int64_t kCountBytes = 4;

/// One count of rows and one of pairs for each slice, as many slices as `slices` says.
Counts lengths(const Counts& slices) {
  Counts lengths;
  for (const std::int64_t count : slices) lengths.push_back(1 + count);
  return lengths;
}

Buffer bytes_of_counts(at::Tensor& counts) {
  return {counts.mutable_data_ptr(), counts.numel() * kCountBytes, DataType::kByte};
}

/// Reads what has been copied: for every rank its rows, then its slices' pairs.
struct CountReader {
  const std::int32_t* next;

  void read(std::int64_t slices, Counts& rows, Counts& pairs, Counts* pairs_of_slice) {
    rows.push_back(*next++);
    pairs.push_back(0);
    for (std::int64_t i = 0; i < slices; ++i) {
      pairs.back() += *next;
      if (pairs_of_slice != nullptr) pairs_of_slice->push_back(*next);
      ++next;
    }
  }
};

}  // namespace

CountExchange::CountExchange(Communicator& group, const PlacedLayer& layer,
                             const at::Tensor& rows_to_rank, const at::Tensor& pairs_of_slice)
    : layer_(layer) {
  sent_ = at::cat({rows_to_rank, pairs_of_slice}).index_select(0, layer.count_order());
  const Counts to_rank = lengths(layer.slices_of_rank());
  const Counts from_rank(to_rank.size(), 1 + layer.slices_here());
  received_ = at::empty({sum(from_rank)}, sent_.options());
  pending_.emplace(group.all_to_all_v(bytes_of_counts(sent_), times(to_rank, kCountBytes),
                                      bytes_of_counts(received_), times(from_rank, kCountBytes)));
}

void CountExchange::start_copies() {
  pending_->wait();
  sent_on_host_ = empty_pinned({sent_.numel()}, at::kInt);
  received_on_host_ = empty_pinned({received_.numel()}, at::kInt);
  sent_on_host_.copy_(sent_, /*non_blocking=*/true);
  received_on_host_.copy_(received_, /*non_blocking=*/true);
  copied_.record(compute_stream());
}

ExchangedCounts CountExchange::wait() {
  copied_.wait();
  ExchangedCounts counts;
  CountReader sent{sent_on_host_.const_data_ptr<std::int32_t>()};
  CountReader received{received_on_host_.const_data_ptr<std::int32_t>()};
  for (const std::int64_t slices : layer_.slices_of_rank()) {
    sent.read(slices, counts.rows_to_rank, counts.pairs_to_rank, nullptr);
    received.read(layer_.slices_here(), counts.rows_from_rank, counts.pairs_from_rank,
                  &counts.pairs_of_slice);
  }
  for (at::Tensor* tensor : {&sent_, &received_, &sent_on_host_, &received_on_host_}) {
    tensor->reset();
  }
  return counts;
}

}  // namespace hetmoe::on_gpu
