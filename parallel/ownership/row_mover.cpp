#include "parallel/ownership/slice_mover.h"

#include <algorithm>
#include <span>

#include "core/base/check.h"
#include "core/model/parameter_specs.h"

namespace hetmoe {
namespace {

std::int64_t rows_per_round(std::int64_t columns, std::int64_t most_bytes) {
  const auto bytes_per_row = static_cast<std::int64_t>(kExpertMatrices * columns * sizeof(float));
  return std::max<std::int64_t>(1, most_bytes / bytes_per_row);
}

/// The same rows in each of the three matrices, as spans over `flat`.
class MatrixRows {
 public:
  MatrixRows(const FlatSlices& flat, const RowTransfer& rows, std::int64_t columns) {
    float* base = flat.values.mutable_data_ptr<float>();
    for (const Slice& slice : flat.slices) {
      if (slice.expert == rows.expert && slice.begin <= rows.begin && rows.end <= slice.end) {
        for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
          parts_[matrix] = {base + (matrix * slice.width() + rows.begin - slice.begin) * columns,
                            static_cast<std::size_t>(rows.rows() * columns)};
        }
        return;
      }
      base += kExpertMatrices * slice.width() * columns;
    }
    HETMOE_CHECK(false, "rows ", rows.begin, " to ", rows.end, " of expert ", rows.expert,
                 " are not held here");
  }

  const std::span<float>* begin() const { return parts_; }
  const std::span<float>* end() const { return parts_ + kExpertMatrices; }

 private:
  std::span<float> parts_[kExpertMatrices];
};

/// Elements that this rank exchanges with each other rank.
std::vector<std::int64_t> counts_with(const std::vector<RowTransfer>& round, int ranks, int rank,
                                      int RowTransfer::*own, int RowTransfer::*other,
                                      std::int64_t columns) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(ranks), 0);
  for (const RowTransfer& transfer : round) {
    if (transfer.*own != rank || transfer.from == transfer.to) continue;
    counts[transfer.*other] += transfer.rows() * kExpertMatrices * columns;
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

SliceMover::SliceMover(Communicator& group, const std::vector<RowTransfer>& transfers,
                       std::int64_t columns, std::int64_t most_bytes)
    : group_(group),
      columns_(columns),
      rounds_(in_rounds(transfers, group.size(), rows_per_round(columns, most_bytes))) {}

void SliceMover::move(const FlatSlices& before, const FlatSlices& after) {
  HETMOE_CHECK(
      before.values.scalar_type() == at::kFloat && after.values.scalar_type() == at::kFloat,
      "only fp32 moves");
  for (const auto& round : rounds_) move_round(round, before, after);
}

void SliceMover::move_round(const std::vector<RowTransfer>& round, const FlatSlices& before,
                            const FlatSlices& after) {
  const int rank = group_.rank();
  const auto send_counts =
      counts_with(round, group_.size(), rank, &RowTransfer::from, &RowTransfer::to, columns_);
  const auto receive_counts =
      counts_with(round, group_.size(), rank, &RowTransfer::to, &RowTransfer::from, columns_);
  std::vector<float> send(static_cast<std::size_t>(total(send_counts)));
  std::vector<float> receive(static_cast<std::size_t>(total(receive_counts)));
  auto next = begins(send_counts);
  for (const RowTransfer& transfer : round) {
    if (transfer.from != rank) continue;
    const MatrixRows source(before, transfer, columns_);
    if (transfer.to == rank) {
      const MatrixRows target(after, transfer, columns_);
      for (int m = 0; m < kExpertMatrices; ++m) {
        std::copy(source.begin()[m].begin(), source.begin()[m].end(), target.begin()[m].begin());
      }
      continue;
    }
    for (const std::span<float>& part : source) {
      std::copy(part.begin(), part.end(), send.begin() + next[transfer.to]);
      next[transfer.to] += static_cast<std::int64_t>(part.size());
    }
  }
  group_
      .all_to_all_v(const_buffer_of(std::span<const float>(send)), send_counts,
                    buffer_of(std::span<float>(receive)), receive_counts)
      .wait();
  next = begins(receive_counts);
  for (const RowTransfer& transfer : round) {
    if (transfer.to != rank || transfer.from == rank) continue;
    for (const std::span<float>& part : MatrixRows(after, transfer, columns_)) {
      std::copy_n(receive.begin() + next[transfer.from], part.size(), part.begin());
      next[transfer.from] += static_cast<std::int64_t>(part.size());
    }
  }
}

}  // namespace hetmoe
