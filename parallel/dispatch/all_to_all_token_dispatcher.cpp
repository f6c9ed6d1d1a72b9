#include "parallel/dispatch/all_to_all_token_dispatcher.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <optional>

#include "core/base/check.h"
#include "core/kernels/row_copy.h"
#include "parallel/dispatch/dispatch_pattern.h"
#include "parallel/dispatch/tensor_buffer.h"
#include "parallel/dispatch/traffic.h"

namespace hetmoe {
namespace {

class AllToAllTokenExchange final : public TokenExchange {
 public:
  AllToAllTokenExchange(Traffic& traffic, const LayerServers& servers, const at::Tensor& x,
                        const Routing& routing)
      : traffic_(traffic),
        tokens_(routing.tokens()),
        columns_(x.size(1)),
        selections_(routing.selections()),
        pattern_(make_dispatch_pattern(routing, servers, traffic.group().size())) {
    exchange_counts();
    wire_.resize(sum(selections_from_rank_));
    rows_out_ = gather_rows(x, pattern_.token);
    metadata_.emplace(start_wire());
    received_.x = start_rows(Traffic::kDispatch, rows_out_, pattern_.rows_to_rank, rows_from_rank_);
  }

  const ReceivedTokens& finish_dispatch() override {
    metadata_->wait();
    unpack_wire();
    finish_rows();
    return received_;
  }

  void start_combine(const at::Tensor& partial) override {
    rows_out_ = partial.contiguous();
    rows_in_ = start_rows(Traffic::kCombine, rows_out_, rows_from_rank_, pattern_.rows_to_rank);
  }

  at::Tensor finish_combine() override {
    finish_rows();
    return sum_over_ranks();
  }

  void start_dispatch_gradient(const at::Tensor& dy) override {
    rows_out_ = gather_rows(dy, pattern_.token);
    rows_in_ = start_rows(Traffic::kDispatch, rows_out_, pattern_.rows_to_rank, rows_from_rank_);
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
    metadata_.emplace(traffic_.exchange(
        Traffic::kCombine, const_buffer_of<double>(dgates_out_), selections_from_rank_,
        buffer_of<double>(std::span<double>(dgates_in_)), pattern_.selections_to_rank));
    rows_out_ = partial.contiguous();
    rows_in_ = start_rows(Traffic::kCombine, rows_out_, rows_from_rank_, pattern_.rows_to_rank);
  }

  Gradient finish_combine_gradient() override {
    metadata_->wait();
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
    const int ranks = traffic_.group().size();
    Counts send(2 * ranks);
    Counts receive(2 * ranks);
    for (int rank = 0; rank < ranks; ++rank) {
      send[2 * rank] = pattern_.rows_to_rank[rank];
      send[2 * rank + 1] = pattern_.selections_to_rank[rank];
    }
    const Counts two(ranks, 2);
    traffic_.group()
        .all_to_all_v(const_buffer_of<std::int64_t>(send), two,
                      buffer_of<std::int64_t>(std::span<std::int64_t>(receive)), two)
        .wait();
    for (int rank = 0; rank < ranks; ++rank) {
      rows_from_rank_.push_back(receive[2 * rank]);
      selections_from_rank_.push_back(receive[2 * rank + 1]);
    }
  }

  Pending start_wire() {
    constexpr std::int64_t kBytes = sizeof(SelectionOnWire);
    return traffic_.exchange(
        Traffic::kDispatch,
        {pattern_.wire.data(), sum(pattern_.selections_to_rank) * kBytes, DataType::kByte},
        times(pattern_.selections_to_rank, kBytes),
        {wire_.data(), static_cast<std::int64_t>(wire_.size()) * kBytes, DataType::kByte},
        times(selections_from_rank_, kBytes));
  }

  void unpack_wire() {
    std::int64_t row_begin = 0;
    std::size_t at = 0;
    for (std::size_t rank = 0; rank < rows_from_rank_.size(); ++rank) {
      for (std::int64_t i = 0; i < selections_from_rank_[rank]; ++i, ++at) {
        HETMOE_CHECK(wire_[at].row >= 0 && wire_[at].row < rows_from_rank_[rank], "row ",
                     wire_[at].row, " of ", rows_from_rank_[rank], " from rank ", rank);
        received_.row.push_back(row_begin + wire_[at].row);
        received_.slice.push_back(wire_[at].slice);
        received_.gate.push_back(wire_[at].gate);
      }
      row_begin += rows_from_rank_[rank];
    }
  }

  /// Starts sending rows; the result is filled when finish_rows returns.
  at::Tensor start_rows(Traffic::Direction direction, const at::Tensor& rows, const Counts& send,
                        const Counts& receive) {
    at::Tensor in = at::empty({sum(receive), columns_}, rows.options());
    rows_pending_.emplace(traffic_.exchange(direction, const_tensor_buffer(rows),
                                            times(send, columns_), tensor_buffer(in),
                                            times(receive, columns_)));
    return in;
  }

  void finish_rows() {
    rows_pending_->wait();
    rows_out_.reset();
  }

  /// rows_in_ (by destination rank) added up per token, in rank order, in the wide type.
  at::Tensor sum_over_ranks() {
    const auto type = rows_in_.scalar_type();
    at::Tensor total =
        at::zeros({tokens_, columns_},
                  rows_in_.options().dtype(type == at::kDouble ? at::kDouble : at::kFloat));
    std::int64_t begin = 0;
    for (std::int64_t count : pattern_.rows_to_rank) {
      add_rows(rows_in_.narrow(0, begin, count),
               std::span<const std::int64_t>(pattern_.token).subspan(begin, count), total);
      begin += count;
    }
    rows_in_.reset();
    return total.to(type);
  }

  Traffic& traffic_;
  std::int64_t tokens_;
  std::int64_t columns_;
  std::int64_t selections_;
  DispatchPattern pattern_;
  Counts rows_from_rank_;
  Counts selections_from_rank_;
  std::vector<SelectionOnWire> wire_;
  ReceivedTokens received_;
  at::Tensor rows_out_;
  at::Tensor rows_in_;
  std::vector<double> dgates_out_;
  std::vector<double> dgates_in_;
  // Last: destroyed first, so that nothing is under way when the buffers go.
  std::optional<Pending> metadata_;
  std::optional<Pending> rows_pending_;
};

class AllToAllTokenDispatcher final : public PlacedTokenDispatcher {
 public:
  AllToAllTokenDispatcher(Communicator& group, const Placement& placement) : traffic_(group) {
    follow(placement);
  }

  void follow(const Placement& placement) override {
    servers_.clear();
    for (const LayerPlacement& layer : placement.layers) {
      servers_.push_back(servers_of(layer, traffic_.group().size()));
    }
  }

  std::unique_ptr<TokenExchange> start_dispatch(int layer, const at::Tensor& x,
                                                const Routing& routing) override {
    return std::make_unique<AllToAllTokenExchange>(traffic_, servers_[layer], x, routing);
  }

  ExchangedBytes bytes_sent() const override { return traffic_.bytes_sent(); }

 private:
  Traffic traffic_;
  std::vector<LayerServers> servers_;  ///< per layer
};

}  // namespace

std::unique_ptr<PlacedTokenDispatcher> make_all_to_all_token_dispatcher(
    Communicator& group, const Placement& placement) {
  return std::make_unique<AllToAllTokenDispatcher>(group, placement);
}

}  // namespace hetmoe
