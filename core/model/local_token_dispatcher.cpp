#include "core/model/local_token_dispatcher.h"

namespace hetmoe {
namespace {

/// [experts]: the slices of each, as indices among the layer's.
using SlicesOfExpert = std::vector<std::vector<std::int32_t>>;

class LocalTokenExchange final : public TokenExchange {
 public:
  LocalTokenExchange(const at::Tensor& x, const Routing& routing, const SlicesOfExpert& slices) {
    received_.x = x;
    selection_count_ = static_cast<std::size_t>(routing.selections());
    for (std::int64_t token = 0; token < routing.tokens(); ++token) {
      for (std::int64_t s = routing.offset[token]; s < routing.offset[token + 1]; ++s) {
        for (const std::int32_t slice : slices[routing.expert[s]]) {
          received_.row.push_back(token);
          received_.slice.push_back(slice);
          received_.gate.push_back(routing.gate[s]);
          selection_.push_back(static_cast<std::size_t>(s));
        }
      }
    }
  }

  const ReceivedTokens& finish_dispatch() override { return received_; }
  void start_combine(const at::Tensor& partial) override { rows_ = partial; }
  at::Tensor finish_combine() override { return std::move(rows_); }
  void start_dispatch_gradient(const at::Tensor& dy) override { rows_ = dy; }
  at::Tensor finish_dispatch_gradient() override { return std::move(rows_); }
  void start_combine_gradient(const at::Tensor& partial, std::span<const double> dgates) override {
    rows_ = partial;
    dgates_.assign(selection_count_, 0.0);
    for (std::size_t i = 0; i < dgates.size(); ++i) dgates_[selection_[i]] += dgates[i];
  }
  Gradient finish_combine_gradient() override { return {std::move(rows_), std::move(dgates_)}; }

 private:
  ReceivedTokens received_;
  std::size_t selection_count_;
  std::vector<std::size_t> selection_;  ///< of the routing, per received one
  at::Tensor rows_;
  std::vector<double> dgates_;
};

class LocalTokenDispatcher final : public TokenDispatcher {
 public:
  explicit LocalTokenDispatcher(const std::vector<Slice>& slices) {
    std::int32_t index = 0;
    for (const Slice& slice : slices) {
      const auto layer = static_cast<std::size_t>(slice.layer);
      const auto expert = static_cast<std::size_t>(slice.expert);
      if (layer >= layers_.size()) {
        layers_.resize(layer + 1);
        index = 0;
      }
      if (expert >= layers_[layer].size()) layers_[layer].resize(expert + 1);
      layers_[layer][expert].push_back(index++);
    }
  }

  std::unique_ptr<TokenExchange> start_dispatch(int layer, const at::Tensor& x,
                                                const Routing& routing) override {
    return std::make_unique<LocalTokenExchange>(x, routing, layers_[layer]);
  }
  ExchangedBytes bytes_sent() const override { return {}; }

 private:
  std::vector<SlicesOfExpert> layers_;
};

}  // namespace

std::unique_ptr<TokenDispatcher> make_local_token_dispatcher(const std::vector<Slice>& slices) {
  return std::make_unique<LocalTokenDispatcher>(slices);
}

}  // namespace hetmoe
