#include "core/model/selected_sets.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "core/base/check.h"
#include "core/model/hyper_parameters.h"

namespace hetmoe {
namespace {

std::span<const std::int32_t> list_of(const Routing& routing, std::int64_t token) {
  const std::int64_t begin = routing.offset[token];
  return std::span(routing.expert).subspan(begin, routing.offset[token + 1] - begin);
}

/// FNV-1a over the experts of a token's list.
struct HashOfList {
  const Routing& routing;
  std::size_t operator()(std::int64_t token) const {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const std::int32_t expert : list_of(routing, token)) {
      hash = (hash ^ static_cast<std::uint64_t>(expert)) * 0x100000001b3;
    }
    return static_cast<std::size_t>(hash ^ (hash >> 32));
  }
};

struct SameList {
  const Routing& routing;
  bool operator()(std::int64_t a, std::int64_t b) const {
    return std::ranges::equal(list_of(routing, a), list_of(routing, b));
  }
};

TokenGroups group(const std::vector<std::int64_t>& group_of_token, std::int64_t groups) {
  TokenGroups result;
  result.begin.assign(groups + 1, 0);
  for (const std::int64_t g : group_of_token) ++result.begin[g + 1];
  std::partial_sum(result.begin.begin(), result.begin.end(), result.begin.begin());
  std::vector<std::int64_t> next(result.begin.begin(), result.begin.end() - 1);
  result.token.resize(group_of_token.size());
  for (std::size_t token = 0; token < group_of_token.size(); ++token) {
    result.token[next[group_of_token[token]]++] = static_cast<std::int64_t>(token);
  }
  return result;
}

/// C(n, k) for n < num_experts, k <= size: a set {c_1 < c_2 < ...} is the sum of C(c_i, i) in the
/// colexicographic order (the combinatorial number system).
class Binomials {
 public:
  Binomials(int num_experts, int size) : columns_(size + 1) {
    values_.resize(static_cast<std::size_t>(num_experts) * columns_);
    for (int n = 0; n < num_experts; ++n) {
      for (int k = 0; k <= size; ++k) values_[n * columns_ + k] = number_of_sets(n, k);
    }
  }
  std::int64_t place(std::span<const std::int32_t> set) const {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < set.size(); ++i) sum += values_[set[i] * columns_ + i + 1];
    return sum;
  }

 private:
  std::size_t columns_;
  std::vector<std::int64_t> values_;
};

}  // namespace

SelectedSets distinct_sets(const Routing& routing) {
  const std::int64_t tokens = routing.tokens();
  SelectedSets result;
  std::unordered_map<std::int64_t, std::int64_t, HashOfList, SameList> set_of_first(
      64, HashOfList{routing}, SameList{routing});
  std::vector<std::int64_t> set_of_token(tokens);
  for (std::int64_t token = 0; token < tokens; ++token) {
    const auto [found, is_new] = set_of_first.try_emplace(token, result.sets.size());
    set_of_token[token] = found->second;
    if (!is_new) continue;
    const auto list = list_of(routing, token);
    result.sets.expert.insert(result.sets.expert.end(), list.begin(), list.end());
    result.sets.offset.push_back(static_cast<std::int64_t>(result.sets.expert.size()));
  }
  result.tokens = group(set_of_token, result.sets.size());
  return result;
}

ExpertSets all_sets(int num_experts, int size) {
  ExpertSets sets;
  std::vector<std::int32_t> set(size);
  std::iota(set.begin(), set.end(), 0);
  const std::int64_t number = number_of_sets(num_experts, size);
  for (std::int64_t i = 0; i < number; ++i) {
    sets.expert.insert(sets.expert.end(), set.begin(), set.end());
    sets.offset.push_back(static_cast<std::int64_t>(sets.expert.size()));
    // The first member that can move up does; those below it start again.
    int j = 0;
    while (j + 1 < size && set[j] + 1 == set[j + 1]) ++j;
    ++set[j];
    std::iota(set.begin(), set.begin() + j, 0);
  }
  return sets;
}

TokenGroups tokens_of_all_sets(const Routing& routing, int num_experts, int size) {
  const Binomials binomials(num_experts, size);
  std::vector<std::int64_t> set_of_token(routing.tokens());
  for (std::int64_t token = 0; token < routing.tokens(); ++token) {
    const auto list = list_of(routing, token);
    HETMOE_CHECK(static_cast<int>(list.size()) == size, list.size(), " experts selected, not ",
                 size);
    set_of_token[token] = binomials.place(list);
  }
  return group(set_of_token, number_of_sets(num_experts, size));
}

std::vector<double> embedding_coefficients(const ExpertSets& sets, int num_experts,
                                           Conditioning conditioning, Aggregate aggregate) {
  std::vector<double> coefficients(sets.size() * num_experts);
  for (std::int64_t u = 0; u < sets.size(); ++u) {
    const bool takes_selected = conditioning == Conditioning::kSelected;
    const auto selected = static_cast<double>(sets[u].size());
    const double count = takes_selected ? selected : num_experts - selected;
    const double scale = aggregate == Aggregate::kMean && count > 0 ? 1 / count : 1;
    const double centre = aggregate == Aggregate::kCentred ? count / num_experts : 0;
    const auto row = std::span(coefficients).subspan(u * num_experts, num_experts);
    std::ranges::fill(row, takes_selected ? -centre : scale - centre);
    for (const std::int32_t expert : sets[u]) {
      row[expert] = takes_selected ? scale - centre : -centre;
    }
  }
  return coefficients;
}

}  // namespace hetmoe
