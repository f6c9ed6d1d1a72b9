#include "core/model/on_gpu/token_pairs.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <span>

#include "core/base/check.h"
#include "core/kernels/gpu/bucket_sort.h"
#include "core/kernels/gpu/exclusive_sum.h"
#include "core/kernels/on_gpu/pointers.h"
#include "core/tensor/device.h"

namespace hetmoe::on_gpu {
namespace {

at::Tensor integers(const std::vector<std::int32_t>& values) {
  return uploaded(std::span<const std::int32_t>(values), at::kInt);
}

}  // namespace

ServerTable::ServerTable(const std::vector<std::vector<Run>>& of_expert) {
  std::vector<std::int32_t> begin = {0}, server_begin = {0}, rank, slice;
  std::vector<double> share_end;
  for (const std::vector<Run>& runs : of_expert) {
    for (const Run& run : runs) {
      double shares = 0;
      for (const Server& server : run) {
        rank.push_back(server.rank);
        slice.push_back(server.slice);
        share_end.push_back(shares += server.share);
      }
      server_begin.push_back(static_cast<std::int32_t>(rank.size()));
    }
    begin.push_back(static_cast<std::int32_t>(server_begin.size() - 1));
    most_runs_ = std::max(most_runs_, static_cast<std::int64_t>(runs.size()));
  }
  begin_ = integers(begin);
  server_begin_ = integers(server_begin);
  rank_ = integers(rank);
  slice_ = integers(slice);
  share_end_ = uploaded(std::span<const double>(share_end), at::kDouble);
}

gpu::SliceServers ServerTable::servers() const {
  return {.begin = data<std::int32_t>(begin_),
          .server_begin = data<std::int32_t>(server_begin_),
          .rank = data<std::int32_t>(rank_),
          .slice = data<std::int32_t>(slice_),
          .share_end = data<double>(share_end_)};
}

Buckets sort_by_bucket(const at::Tensor& key, std::int64_t buckets) {
  const std::int64_t items = key.numel();
  HETMOE_CHECK(buckets <= gpu::kMostBuckets, buckets, " slices of a layer on GPUs, at most ",
               gpu::kMostBuckets);
  HETMOE_CHECK(buckets >= 1 && buckets <= gpu::kMostBuckets, buckets, " buckets to sort into");
  Buckets sorted{at::empty({buckets}, key.options()), at::empty_like(key)};
  const at::Tensor order = at::empty_like(key);
  const at::Tensor scratch = at::empty({gpu::bucket_sort_scratch(items, buckets)}, key.options());
  gpu::bucket_sort({.key = data<std::int32_t>(key),
                    .items = items,
                    .buckets = buckets,
                    .count = mutable_data<std::int32_t>(sorted.count),
                    .position = mutable_data<std::int32_t>(sorted.position),
                    .order = mutable_data<std::int32_t>(order)},
                   mutable_data<std::int32_t>(scratch), compute_stream());
  return sorted;
}

at::Tensor begins_of(const at::Tensor& count) {
  const std::int64_t buckets = count.numel();
  at::Tensor begin = at::empty({buckets + 1}, count.options());
  const at::Tensor scratch = at::empty({gpu::exclusive_sum_scratch(buckets)}, count.options());
  gpu::exclusive_sum(data<std::int32_t>(count), buckets, mutable_data<std::int32_t>(begin),
                     mutable_data<std::int32_t>(scratch), compute_stream());
  return begin;
}

PlacedPairs::PlacedPairs(const GpuRouting& routing, const ServerTable& table, const Parts& parts)
    : offset(routing.offset),
      expert(routing.expert),
      gate(routing.gate),
      pairs_per_token(routing.most_per_token * table.most_runs()) {
  const std::int64_t room = routing.tokens() * pairs_per_token;
  slice = at::empty({room}, expert.options());
  selection = at::empty_like(slice);
  row_rank = at::empty_like(slice);
  first = at::empty_like(slice);
  Buckets by_expert;
  at::Tensor expert_begin;
  gpu::ExpertOrder order;
  if (table.has_replicas()) {
    const at::Tensor key = at::empty_like(expert);
    gpu::list_experts(selections(), key.numel(), mutable_data<std::int32_t>(key), compute_stream());
    by_expert = sort_by_bucket(key, table.num_experts());
    expert_begin = begins_of(by_expert.count);
    order = {.position = data<std::int32_t>(by_expert.position),
             .begin = data<std::int32_t>(expert_begin)};
  }
  gpu::list_pairs(selections(), table.servers(), order,
                  {.tokens_per_part = (routing.tokens() + parts.count - 1) / parts.count,
                   .slices = static_cast<std::int32_t>(table.num_slices()),
                   .ranks = static_cast<std::int32_t>(parts.num_ranks)},
                  pairs(), compute_stream());
  Buckets sorted = sort_by_bucket(slice, parts.count * table.num_slices());
  position = std::move(sorted.position);
  count = std::move(sorted.count);
}

gpu::Selections PlacedPairs::selections() const {
  return {.tokens = offset.size(0) - 1,
          .offset = data<std::int32_t>(offset),
          .expert = data<std::int32_t>(expert),
          .gate = data<float>(gate)};
}

gpu::TokenPairs PlacedPairs::pairs() const {
  return {.pairs_per_token = pairs_per_token,
          .slice = mutable_data<std::int32_t>(slice),
          .selection = mutable_data<std::int32_t>(selection),
          .row_rank = mutable_data<std::int32_t>(row_rank),
          .first = mutable_data<std::int32_t>(first)};
}

at::Tensor gate_gradients(const PlacedPairs& pairs, const at::Tensor& dgate_of_pair) {
  at::Tensor dgate = at::empty_like(pairs.gate);
  gpu::sum_gate_gradients(pairs.selections(), pairs.pairs(), data<std::int32_t>(pairs.position),
                          data<float>(dgate_of_pair), mutable_data<float>(dgate), compute_stream());
  return dgate;
}

}  // namespace hetmoe::on_gpu
