#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace hetmoe {

/// Router statistics of one layer: sums over tokens. View into RouterStatistics.
template <typename T>
struct LayerStatisticsView {
  std::span<T> selected;     ///< [E] tokens that selected expert i
  std::span<T> probability;  ///< [E] sum of P_i
  T* entropy;                ///< sum of -sum P log P
  T* released_penalty;       ///< sum of gate * h / mean(h) over selections (released code's form)
  T* non_finite;             ///< tokens with a non-finite logit
};
using LayerStatistics = LayerStatisticsView<double>;
using ConstLayerStatistics = LayerStatisticsView<const double>;

/// Statistics of all layers of one microbatch in one buffer, so that one all-reduce makes them
/// global. Filled in forward, reduced once, read in backward.
class RouterStatistics {
 public:
  RouterStatistics(int num_layers, int num_experts)
      : num_experts_(num_experts), values_(num_layers * stride()) {}

  LayerStatistics layer(int index) { return view<double>(values_.data() + index * stride()); }
  ConstLayerStatistics layer(int index) const {
    return view<const double>(values_.data() + index * stride());
  }
  std::span<double> values() { return values_; }
  std::int64_t values_of_layer() const { return static_cast<std::int64_t>(stride()); }
  void clear() { values_.assign(values_.size(), 0.0); }

 private:
  std::size_t stride() const { return 2 * static_cast<std::size_t>(num_experts_) + 3; }

  template <typename T>
  LayerStatisticsView<T> view(T* begin) const {
    const auto experts = static_cast<std::size_t>(num_experts_);
    T* tail = begin + 2 * experts;
    return {{begin, experts}, {begin + experts, experts}, tail, tail + 1, tail + 2};
  }

  int num_experts_;
  std::vector<double> values_;
};

/// Sums router statistics over all ranks. Collective: all ranks of the world, once per microbatch,
/// between forward and backward; ranks without tokens take part.
class StatisticsReducer {
 public:
  virtual ~StatisticsReducer() = default;
  virtual void all_reduce(std::span<double> values) = 0;
  /// Of a GPU, fp64. The host does not wait.
  virtual void all_reduce(at::Tensor& values) = 0;
};

/// One rank: sums are what they are.
class LocalStatisticsReducer final : public StatisticsReducer {
 public:
  void all_reduce(std::span<double> /*values*/) override {}
  void all_reduce(at::Tensor& /*values*/) override {}
};

}  // namespace hetmoe
