#include "parallel/dispatch/on_gpu/count_exchange.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>

#include "core/tensor/device.h"

namespace hetmoe::on_gpu {
namespace {

constexpr std::int64_t kCountBytes = 4;

/// In each part one count of rows and one of pairs for each slice, as many slices as `slices` says.
Counts lengths(const Counts& slices, std::int64_t parts) {
  Counts lengths;
  for (const std::int64_t count : slices) lengths.push_back(parts * (1 + count));
  return lengths;
}

Buffer bytes_of_counts(at::Tensor& counts) {
  return {counts.mutable_data_ptr(), counts.numel() * kCountBytes, DataType::kByte};
}

/// Reads what has been copied: for every rank and part its rows, then its slices' pairs.
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
  const Counts to_rank = lengths(layer.slices_of_rank(), layer.parts().count);
  const Counts from_rank =
      lengths(Counts(to_rank.size(), layer.slices_here()), layer.parts().count);
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

std::vector<ExchangedCounts> CountExchange::wait() {
  copied_.wait();
  std::vector<ExchangedCounts> parts(static_cast<std::size_t>(layer_.parts().count));
  CountReader sent{sent_on_host_.const_data_ptr<std::int32_t>()};
  CountReader received{received_on_host_.const_data_ptr<std::int32_t>()};
  for (const std::int64_t slices : layer_.slices_of_rank()) {
    for (ExchangedCounts& part : parts) {
      sent.read(slices, part.rows_to_rank, part.pairs_to_rank, nullptr);
      received.read(layer_.slices_here(), part.rows_from_rank, part.pairs_from_rank,
                    &part.pairs_of_slice);
    }
  }
  for (at::Tensor* tensor : {&sent_, &received_, &sent_on_host_, &received_on_host_}) {
    tensor->reset();
  }
  return parts;
}

}  // namespace hetmoe::on_gpu
