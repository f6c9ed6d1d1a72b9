#include "parallel/placement/migration.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "parallel/placement/owned_slices.h"

namespace hetmoe {
namespace {

/// Rows that each rank gains (or loses) when one layer moves.
struct Growth {
  int layer = 0;
  std::vector<std::int64_t> rows;  ///< [ranks]
};

std::int64_t fullest_after(const std::vector<std::int64_t>& held, const Growth& change) {
  std::int64_t fullest = 0;
  for (std::size_t rank = 0; rank < held.size(); ++rank) {
    fullest = std::max(fullest, held[rank] + change.rows[rank]);
  }
  return fullest;
}

void add_growth(const Growth& change, std::vector<std::int64_t>& held) {
  for (std::size_t rank = 0; rank < held.size(); ++rank) held[rank] += change.rows[rank];
}

std::vector<Growth> least_full_first(std::vector<std::int64_t> held, std::vector<Growth> changes) {
  std::vector<Growth> order;
  while (!changes.empty()) {
    const auto next =
        std::min_element(changes.begin(), changes.end(), [&](const Growth& a, const Growth& b) {
          return fullest_after(held, a) < fullest_after(held, b);
        });
    add_growth(*next, held);
    order.push_back(std::move(*next));
    changes.erase(next);
  }
  return order;
}

std::int64_t peak_rows(std::vector<std::int64_t> held, const std::vector<Growth>& order) {
  std::int64_t peak = 0;
  for (const Growth& change : order) {
    peak = std::max(peak, fullest_after(held, change));
    add_growth(change, held);
  }
  return peak;
}

}  // namespace

std::vector<RowTransfer> row_transfers(const LayerPlacement& before, const LayerPlacement& after,
                                       const ExpertGroups& groups) {
  const std::vector<OwnedSlice> sources = owned_slices(before, 0, groups);
  std::vector<RowTransfer> transfers;
  auto source = sources.begin();
  for (const auto& [target, owner] : owned_slices(after, 0, groups)) {
    std::int64_t row = target.begin;
    while (row < target.end) {
      while (source != sources.end() &&
             (source->slice.expert < target.expert ||
              (source->slice.expert == target.expert && source->slice.end <= row))) {
        ++source;
      }
      HETMOE_CHECK(source != sources.end() && source->slice.expert == target.expert &&
                       source->slice.begin <= row,
                   "row ", row, " of expert ", target.expert, " was nowhere before");
      const std::int64_t end = std::min(target.end, source->slice.end);
      transfers.push_back({target.expert, row, end, source->owner, owner});
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

bool same_rows(const LayerPlacement& before, const LayerPlacement& after) {
  return std::equal(before.slices.begin(), before.slices.end(), after.slices.begin(),
                    after.slices.end(), [](const PlacedSlice& a, const PlacedSlice& b) {
                      return a.expert == b.expert && a.rank == b.rank && a.begin == b.begin &&
                             a.end == b.end;
                    });
}

std::vector<int> migration_order(const Placement& before, const Placement& after, int ranks) {
  std::vector<std::int64_t> held(static_cast<std::size_t>(ranks), 0);
  std::vector<Growth> changes;
  for (std::size_t layer = 0; layer < before.layers.size(); ++layer) {
    Growth change{.layer = static_cast<int>(layer), .rows = held};
    std::fill(change.rows.begin(), change.rows.end(), 0);
    for (const PlacedSlice& slice : after.layers[layer].slices) {
      change.rows[slice.rank] += slice.width();
    }
    for (const PlacedSlice& slice : before.layers[layer].slices) {
      held[slice.rank] += slice.width();
      change.rows[slice.rank] -= slice.width();
    }
    if (!same_rows(before.layers[layer], after.layers[layer])) changes.push_back(std::move(change));
  }
  const std::vector<Growth> greedy = least_full_first(held, changes);
  std::vector<int> order;
  for (const Growth& change :
       peak_rows(held, greedy) <= peak_rows(held, changes) ? greedy : changes) {
    order.push_back(change.layer);
  }
  return order;
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
