#include "parallel/placement/migration.h"

#include <algorithm>

#include "core/base/check.h"

namespace hetmoe {
namespace {

/// The first slice of each range: the lowest rank, and so the owner.
std::vector<PlacedSlice> owned_ranges(const LayerPlacement& placement) {
  std::vector<PlacedSlice> owned;
  for (const PlacedSlice& slice : placement.slices) {
    const bool is_replica =
        !owned.empty() && owned.back().expert == slice.expert && owned.back().begin == slice.begin;
    if (!is_replica) owned.push_back(slice);
  }
  return owned;
}

}  // namespace

std::vector<RowTransfer> row_transfers(const LayerPlacement& before, const LayerPlacement& after) {
  const std::vector<PlacedSlice> sources = owned_ranges(before);
  const std::vector<PlacedSlice> targets = owned_ranges(after);
  std::vector<RowTransfer> transfers;
  auto source = sources.begin();
  for (const PlacedSlice& target : targets) {
    std::int64_t row = target.begin;
    while (row < target.end) {
      while (source != sources.end() && (source->expert < target.expert ||
                                         (source->expert == target.expert && source->end <= row))) {
        ++source;
      }
      HETMOE_CHECK(
          source != sources.end() && source->expert == target.expert && source->begin <= row,
          "row ", row, " of expert ", target.expert, " was nowhere before");
      const std::int64_t end = std::min(target.end, source->end);
      transfers.push_back({target.expert, row, end, source->rank, target.rank});
      row = end;
    }
  }
  return transfers;
}

std::vector<std::vector<RowTransfer>> in_rounds(const std::vector<RowTransfer>& transfers,
                                                int ranks, std::int64_t most_rows) {
  HETMOE_CHECK(most_rows > 0, "rounds of ", most_rows, " rows");
  std::vector<std::vector<RowTransfer>> rounds(1);
  std::vector<std::int64_t> sent(static_cast<std::size_t>(ranks), 0);
  std::vector<std::int64_t> received(static_cast<std::size_t>(ranks), 0);
  for (RowTransfer rest : transfers) {
    if (rest.from == rest.to) {
      rounds.back().push_back(rest);
      continue;
    }
    while (rest.rows() > 0) {
      const std::int64_t room = most_rows - std::max(sent[rest.from], received[rest.to]);
      if (room == 0) {
        rounds.emplace_back();
        std::fill(sent.begin(), sent.end(), 0);
        std::fill(received.begin(), received.end(), 0);
        continue;
      }
      RowTransfer part = rest;
      part.end = part.begin + std::min(room, rest.rows());
      rest.begin = part.end;
      sent[part.from] += part.rows();
      received[part.to] += part.rows();
      rounds.back().push_back(part);
    }
  }
  return rounds;
}

std::int64_t moving_rows(const std::vector<RowTransfer>& transfers) {
  std::int64_t rows = 0;
  for (const RowTransfer& transfer : transfers) {
    if (transfer.from != transfer.to) rows += transfer.rows();
  }
  return rows;
}

std::int64_t busiest_rows(const std::vector<RowTransfer>& transfers, int ranks) {
  std::vector<std::int64_t> sent(static_cast<std::size_t>(ranks), 0);
  std::vector<std::int64_t> received(static_cast<std::size_t>(ranks), 0);
  for (const RowTransfer& transfer : transfers) {
    if (transfer.from == transfer.to) continue;
    sent[transfer.from] += transfer.rows();
    received[transfer.to] += transfer.rows();
  }
  return std::max(*std::max_element(sent.begin(), sent.end()),
                  *std::max_element(received.begin(), received.end()));
}

}  // namespace hetmoe
