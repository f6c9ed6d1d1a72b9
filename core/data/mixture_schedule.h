#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hetmoe {

/// Deals an endless row of places out to sources in proportion to weights: a pure function of
/// weights and place, the same on every rank, after every resume and however places are cut into
/// batches. After any n places each source has had its share of n to less than 2 (up to three
/// sources: to less than 1), and places of one source lie as evenly as that allows.
class MixtureSchedule {
 public:
  struct Place {
    int source = 0;
    std::int64_t sample = 0;  ///< how many places that source had before
  };

  /// At least one weight, finite and above 0; their sum need not be 1.
  explicit MixtureSchedule(std::span<const double> weights);

  /// Whose place `index` (from 0) is. Cost: the depth of the tree, log2(sources) for equal weights.
  Place at(std::int64_t index) const;

  /// How many of the first `count` places each source has.
  std::vector<std::int64_t> counts(std::int64_t count) const;

 private:
  /// A pair of sources or nodes, of which the left one is at least as heavy.
  struct Node {
    std::int64_t left_weight = 0;
    std::int64_t weight = 0;
    int left = 0;  ///< a node, or ~source
    int right = 0;
  };

  static std::int64_t left_count(const Node& node, std::int64_t count);
  void add_counts(int at, std::int64_t count, std::vector<std::int64_t>& counts) const;

  std::vector<Node> nodes_;
  int root_ = 0;  ///< a node, or ~source
  int num_sources_;
};

}  // namespace hetmoe
