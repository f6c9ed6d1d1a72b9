#include "parallel/dispatch/on_gpu/received_places.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

#include <limits>
#include <span>
#include <utility>

#include "core/base/check.h"
#include "core/kernels/gpu/dispatch.h"
#include "core/kernels/on_gpu/pointers.h"
#include "core/tensor/device.h"

namespace hetmoe::on_gpu {
namespace {

using Integers = std::vector<std::int32_t>;

Integers begins(const Counts& counts) {
  Integers begins = {0};
  for (const std::int64_t count : counts) {
    begins.push_back(begins.back() + static_cast<std::int32_t>(count));
  }
  return begins;
}

/// Where each (source, slice) begins when all are sorted by slice and then by source.
Integers place_begins(const Counts& pairs_of_slice, std::int64_t slices) {
  Integers begins(pairs_of_slice.size());
  std::int32_t next = 0;
  for (std::size_t slice = 0; slice < static_cast<std::size_t>(slices); ++slice) {
    for (std::size_t i = slice; i < begins.size(); i += static_cast<std::size_t>(slices)) {
      begins[i] = next;
      next += static_cast<std::int32_t>(pairs_of_slice[i]);
    }
  }
  return begins;
}

Counts by_slice(const Counts& pairs_of_slice, std::int64_t slices) {
  Counts sums(static_cast<std::size_t>(slices), 0);
  for (std::size_t i = 0; i < pairs_of_slice.size(); ++i) {
    sums[i % sums.size()] += pairs_of_slice[i];
  }
  return sums;
}

}  // namespace

ReceivedPlacing::ReceivedPlacing(const ExchangedCounts& counts, std::int64_t pairs_per_row)
    : sources_(static_cast<std::int64_t>(counts.rows_from_rank.size())),
      slices_(static_cast<std::int64_t>(counts.pairs_of_slice.size()) / sources_),
      pairs_(sum(counts.pairs_from_rank)),
      rows_(sum(counts.rows_from_rank)),
      pairs_per_row_(pairs_per_row),
      of_slice_(by_slice(counts.pairs_of_slice, slices_)) {
  HETMOE_CHECK(pairs_ <= std::numeric_limits<std::int32_t>::max(), pairs_, " selections here");
  const Integers pair_begin = begins(counts.pairs_of_slice);
  const Integers place_begin = place_begins(counts.pairs_of_slice, slices_);
  const Integers row_begin = begins(counts.rows_from_rank);
  Integers all = pair_begin;
  all.insert(all.end(), place_begin.begin(), place_begin.end());
  all.insert(all.end(), row_begin.begin(), row_begin.end());
  const at::Tensor there = uploaded(std::span<const std::int32_t>(all), at::kInt);
  const auto pair_begins = static_cast<std::int64_t>(pair_begin.size());
  const std::int64_t blocks = sources_ * slices_;
  pair_begin_ = there.narrow(0, 0, pair_begins);
  place_begin_ = there.narrow(0, pair_begins, blocks);
  row_begin_ = there.narrow(0, pair_begins + blocks, sources_);
}

ReceivedPlaces ReceivedPlacing::place(const at::Tensor& wire) const {
  const at::TensorOptions integers = row_begin_.options();
  ReceivedPlaces received;
  SlicePlaces& places = received.places;
  received.of_pair = at::empty({pairs_}, integers);
  places.of_slice = of_slice_;
  places.row = at::empty({pairs_}, integers);
  places.gate = at::empty({pairs_}, integers.dtype(at::kFloat));
  places.of_row = at::full({rows_, pairs_per_row_}, -1, integers);
  gpu::place_received(reinterpret_cast<const gpu::PairOnWire*>(data<std::uint8_t>(wire)),
                      {.pairs = pairs_,
                       .sources = sources_,
                       .slices = slices_,
                       .pair_begin = data<std::int32_t>(pair_begin_),
                       .place_begin = data<std::int32_t>(place_begin_),
                       .row_begin = data<std::int32_t>(row_begin_),
                       .pairs_per_row = pairs_per_row_,
                       .place = mutable_data<std::int32_t>(received.of_pair),
                       .row = mutable_data<std::int32_t>(places.row),
                       .gate = mutable_data<float>(places.gate),
                       .places = mutable_data<std::int32_t>(places.of_row)},
                      compute_stream());
  return received;
}

}  // namespace hetmoe::on_gpu
