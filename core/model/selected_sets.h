#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/kernels/token_groups.h"
#include "core/model/hyper_config.h"
#include "core/model/routing.h"

namespace hetmoe {

/// Lists of experts, each ascending, one after another.
struct ExpertSets {
  std::vector<std::int32_t> expert;
  std::vector<std::int64_t> offset = {0};  ///< [sets + 1]

  std::int64_t size() const { return static_cast<std::int64_t>(offset.size()) - 1; }
  std::span<const std::int32_t> operator[](std::int64_t set) const {
    return std::span(expert).subspan(offset[set], offset[set + 1] - offset[set]);
  }
};

/// The different sets of experts that tokens selected, and the tokens of each. Every token is in
/// exactly one group; tokens of a group are ascending.
struct SelectedSets {
  ExpertSets sets;
  TokenGroups tokens;
};

/// The sets that occur, in order of their first token. Lists are compared as they are: E may be in
/// the thousands and sets of any size. Cost: one hash of every token's list.
SelectedSets distinct_sets(const Routing& routing);

/// All sets of `size` of the experts, colexicographic: {0,1}, {0,2}, {1,2}, {0,3}, ...
ExpertSets all_sets(int num_experts, int size);

/// Tokens by the place of their set in all_sets(num_experts, size); groups may be empty.
TokenGroups tokens_of_all_sets(const Routing& routing, int num_experts, int size);

/// [sets, num_experts] row by row: with which weight an expert's embedding enters the selection
/// embedding of a set. A set without unselected experts gives 0, not 0/0.
std::vector<double> embedding_coefficients(const ExpertSets& sets, int num_experts,
                                           Conditioning conditioning, Aggregate aggregate);

}  // namespace hetmoe
