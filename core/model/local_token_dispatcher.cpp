#include "core/model/local_token_dispatcher.h"

namespace hetmoe {
namespace {

class LocalTokenExchange final : public TokenExchange {
 public:
  LocalTokenExchange(const at::Tensor& x, const Routing& routing) {
    received_.x = x;
    received_.expert = routing.expert;
    received_.gate = routing.gate;
    received_.row.reserve(routing.expert.size());
    for (std::int64_t token = 0; token < routing.tokens(); ++token) {
      const std::int64_t count = routing.offset[token + 1] - routing.offset[token];
      received_.row.insert(received_.row.end(), count, token);
    }
  }

  const ReceivedTokens& finish_dispatch() override { return received_; }
  void start_combine(const at::Tensor& partial) override { rows_ = partial; }
  at::Tensor finish_combine() override { return std::move(rows_); }
  void start_dispatch_gradient(const at::Tensor& dy) override { rows_ = dy; }
  at::Tensor finish_dispatch_gradient() override { return std::move(rows_); }
  void start_combine_gradient(const at::Tensor& partial, std::span<const double> dgates) override {
    rows_ = partial;
    dgates_.assign(dgates.begin(), dgates.end());
  }
  Gradient finish_combine_gradient() override { return {std::move(rows_), std::move(dgates_)}; }

 private:
  ReceivedTokens received_;
  at::Tensor rows_;
  std::vector<double> dgates_;
};

class LocalTokenDispatcher final : public TokenDispatcher {
 public:
  std::unique_ptr<TokenExchange> start_dispatch(int /*layer*/, const at::Tensor& x,
                                                const Routing& routing) override {
    return std::make_unique<LocalTokenExchange>(x, routing);
  }
  std::int64_t bytes_sent() const override { return 0; }
};

}  // namespace

std::unique_ptr<TokenDispatcher> make_local_token_dispatcher() {
  return std::make_unique<LocalTokenDispatcher>();
}

}  // namespace hetmoe
