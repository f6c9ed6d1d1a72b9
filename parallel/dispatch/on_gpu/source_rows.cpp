#include "parallel/dispatch/on_gpu/source_rows.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <utility>

#include "core/kernels/on_gpu/pointers.h"
#include "core/tensor/device.h"

namespace hetmoe::on_gpu {

SourceRows::SourceRows(const GpuRouting& routing, const ServerTable& servers, const Parts& parts)
    : pairs(routing, servers, parts), num_ranks_(parts.num_ranks) {
  Buckets by_rank = sort_by_bucket(pairs.row_rank, parts.count * parts.num_ranks);
  rows_to_rank = std::move(by_rank.count);
  row_position_ = std::move(by_rank.position);
}

void SourceRows::write_lists() {
  const std::int64_t tokens = pairs.selections().tokens;
  const std::int64_t rows_per_token = std::min(pairs.pairs_per_token, num_ranks_);
  const at::TensorOptions integers = rows_to_rank.options();
  row_token = at::empty({tokens * rows_per_token}, integers);
  token_rows = at::empty({tokens, rows_per_token}, integers);
  wire = at::empty({pairs.slice.size(0) * static_cast<std::int64_t>(sizeof(gpu::PairOnWire))},
                   integers.dtype(at::kByte));
  const at::Tensor row_begin = begins_of(rows_to_rank);
  gpu::write_wire(pairs.selections(), pairs.pairs(),
                  {.pair_position = data<std::int32_t>(pairs.position),
                   .row_position = data<std::int32_t>(row_position_),
                   .row_begin = data<std::int32_t>(row_begin),
                   .rows_per_token = rows_per_token,
                   .wire = reinterpret_cast<gpu::PairOnWire*>(mutable_data<std::uint8_t>(wire)),
                   .row_token = mutable_data<std::int32_t>(row_token),
                   .token_rows = mutable_data<std::int32_t>(token_rows)},
                  compute_stream());
  row_position_.reset();
}

}  // namespace hetmoe::on_gpu
