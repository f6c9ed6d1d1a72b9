#include "parallel/ownership/row_mover.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "core/base/check.h"
#include "parallel/dispatch/tensor_buffer.h"

namespace hetmoe {
namespace {

std::int64_t rows_per_round(std::int64_t row_elements, std::int64_t most_bytes) {
  const auto bytes_per_row = static_cast<std::int64_t>(row_elements * sizeof(float));
  return std::max<std::int64_t>(1, most_bytes / bytes_per_row);
}

/// The rows of a transfer in one matrix.
at::Tensor rows_in(const FlatRows& flat, const RowTransfer& rows, int matrix) {
  const std::int64_t offset = flat.layout.offset(rows.expert, rows.begin, rows.end, matrix);
  return flat.values.narrow(0, offset, rows.rows() * flat.layout.columns());
}

/// Elements that this rank exchanges with each other rank.
std::vector<std::int64_t> counts_with(const std::vector<RowTransfer>& round, int ranks, int rank,
                                      int RowTransfer::*own, int RowTransfer::*other,
                                      std::int64_t row_elements) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(ranks), 0);
  for (const RowTransfer& transfer : round) {
    if (transfer.*own != rank || transfer.from == transfer.to) continue;
    counts[transfer.*other] += transfer.rows() * row_elements;
  }
  return counts;
}

std::vector<std::int64_t> begins(const std::vector<std::int64_t>& counts) {
  std::vector<std::int64_t> begin(counts.size(), 0);
  for (std::size_t i = 1; i < counts.size(); ++i) begin[i] = begin[i - 1] + counts[i - 1];
  return begin;
}

std::int64_t total(const std::vector<std::int64_t>& counts) {
  std::int64_t sum = 0;
  for (const std::int64_t count : counts) sum += count;
  return sum;
}

}  // namespace

RowMover::RowMover(Communicator& group, const std::vector<RowTransfer>& transfers,
                   std::int64_t columns, int matrices, std::int64_t most_bytes)
    : group_(group),
      row_elements_(columns * matrices),
      rounds_(in_rounds(transfers, group.size(), rows_per_round(row_elements_, most_bytes))) {}

void RowMover::move(const FlatRows& before, const FlatRows& after) {
  HETMOE_CHECK(
      before.values.scalar_type() == at::kFloat && after.values.scalar_type() == at::kFloat,
      "only fp32 moves");
  for (const auto& round : rounds_) move_round(round, before, after);
}

void RowMover::move_round(const std::vector<RowTransfer>& round, const FlatRows& before,
                          const FlatRows& after) {
  const int rank = group_.rank();
  const int matrices = before.layout.matrices();
  const auto send_counts =
      counts_with(round, group_.size(), rank, &RowTransfer::from, &RowTransfer::to, row_elements_);
  const auto receive_counts =
      counts_with(round, group_.size(), rank, &RowTransfer::to, &RowTransfer::from, row_elements_);
  const at::Tensor send = at::empty({total(send_counts)}, before.values.options());
  at::Tensor receive = at::empty({total(receive_counts)}, before.values.options());
  auto next = begins(send_counts);
  for (const RowTransfer& transfer : round) {
    if (transfer.from != rank) continue;
    for (int matrix = 0; matrix < matrices; ++matrix) {
      const at::Tensor source = rows_in(before, transfer, matrix);
      if (transfer.to == rank) {
        rows_in(after, transfer, matrix).copy_(source);
      } else {
        send.narrow(0, next[transfer.to], source.numel()).copy_(source);
        next[transfer.to] += source.numel();
      }
    }
  }
  group_
      .all_to_all_v(const_tensor_buffer(send), send_counts, tensor_buffer(receive), receive_counts)
      .wait();
  next = begins(receive_counts);
  for (const RowTransfer& transfer : round) {
    if (transfer.to != rank || transfer.from == rank) continue;
    for (int matrix = 0; matrix < matrices; ++matrix) {
      at::Tensor target = rows_in(after, transfer, matrix);
      target.copy_(receive.narrow(0, next[transfer.from], target.numel()));
      next[transfer.from] += target.numel();
    }
  }
}

}  // namespace hetmoe
