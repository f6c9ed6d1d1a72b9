#include <ATen/ops/empty.h>

#include <optional>

#include "core/base/check.h"
#include "core/kernels/row_copy.h"
#include "core/kernels/row_sum.h"
#include "parallel/dispatch/exchange_leg.h"
#include "parallel/dispatch/token_exchanges.h"

namespace hetmoe {
namespace {

class OneHopExchange final : public TokenExchange {
 public:
  OneHopExchange(Traffic& traffic, const LayerServers& servers, const at::Tensor& x,
                 const Routing& routing)
      : selections_(routing.selections()),
        pattern_(make_dispatch_pattern(routing, servers, traffic.group().size())),
        leg_{.traffic = traffic,
             .columns = x.size(1),
             .rows_out = pattern_.rows_to_rank,
             .selections_out = pattern_.selections_to_rank} {
    exchange_counts();
    wire_.resize(sum(leg_.selections_in));
    rows_out_ = gather_rows(x, pattern_.token);
    selections_pending_.emplace(leg_.start_selections(pattern_.wire, wire_));
    received_.x = at::empty({sum(leg_.rows_in), leg_.columns}, x.options());
    rows_pending_.emplace(leg_.start_rows(rows_out_, received_.x));
    rows_of_token_ = lists_of_rows(pattern_.token, routing.tokens());
  }

  const ReceivedTokens& finish_dispatch() override {
    selections_pending_->wait();
    append_selections(wire_, leg_, 0, received_);
    finish_rows();
    return received_;
  }

  void start_combine(const at::Tensor& partial) override { return_rows(partial); }

  at::Tensor finish_combine() override {
    finish_rows();
    return sum_over_ranks();
  }

  void start_dispatch_gradient(const at::Tensor& dy) override {
    rows_out_ = gather_rows(dy, pattern_.token);
    rows_in_ = at::empty({sum(leg_.rows_in), leg_.columns}, dy.options());
    rows_pending_.emplace(leg_.start_rows(rows_out_, rows_in_));
  }

  at::Tensor finish_dispatch_gradient() override {
    finish_rows();
    return std::move(rows_in_);
  }

  void start_combine_gradient(const at::Tensor& partial, std::span<const double> dgates) override {
    HETMOE_CHECK(dgates.size() == wire_.size(), dgates.size(), " gate gradients for ", wire_.size(),
                 " received selections");
    dgates_out_.assign(dgates.begin(), dgates.end());
    dgates_in_.resize(pattern_.selection.size());
    selections_pending_.emplace(leg_.return_gate_gradients(dgates_out_, dgates_in_));
    return_rows(partial);
  }

  Gradient finish_combine_gradient() override {
    selections_pending_->wait();
    finish_rows();
    Gradient gradient{sum_over_ranks(), std::vector<double>(selections_, 0.0)};
    // Destinations lie in rank order, so this sum is in rank order too.
    for (std::size_t i = 0; i < dgates_in_.size(); ++i) {
      gradient.dgates[pattern_.selection[i]] += dgates_in_[i];
    }
    return gradient;
  }

 private:
  void exchange_counts() {
    const int ranks = leg_.traffic.group().size();
    Counts send(2 * ranks);
    Counts receive(2 * ranks);
    for (int rank = 0; rank < ranks; ++rank) {
      send[2 * rank] = pattern_.rows_to_rank[rank];
      send[2 * rank + 1] = pattern_.selections_to_rank[rank];
    }
    exchange_equal_parts(leg_.traffic, send, receive);
    for (int rank = 0; rank < ranks; ++rank) {
      leg_.rows_in.push_back(receive[2 * rank]);
      leg_.selections_in.push_back(receive[2 * rank + 1]);
    }
  }

  void return_rows(const at::Tensor& partial) {
    rows_out_ = partial.contiguous();
    rows_in_ = at::empty({sum(leg_.rows_out), leg_.columns}, partial.options());
    rows_pending_.emplace(leg_.return_rows(rows_out_, rows_in_));
  }

  void finish_rows() {
    rows_pending_->wait();
    rows_out_.reset();
  }

  /// rows_in_ (by destination rank) added up per token, in rank order.
  at::Tensor sum_over_ranks() {
    const at::Tensor total = sum_rows(rows_in_, rows_of_token_);
    rows_in_.reset();
    return total;
  }

  std::int64_t selections_;
  DispatchPattern pattern_;
  ExchangeLeg leg_;
  RowLists rows_of_token_;
  std::vector<SelectionOnWire> wire_;
  ReceivedTokens received_;
  at::Tensor rows_out_;
  at::Tensor rows_in_;
  std::vector<double> dgates_out_;
  std::vector<double> dgates_in_;
  // Last: destroyed first, so that nothing is under way when the buffers go.
  std::optional<Pending> selections_pending_;
  std::optional<Pending> rows_pending_;
};

}  // namespace

std::unique_ptr<TokenExchange> start_one_hop(Traffic& traffic, const LayerServers& servers,
                                             const at::Tensor& x, const Routing& routing) {
  return std::make_unique<OneHopExchange>(traffic, servers, x, routing);
}

}  // namespace hetmoe
