#include <ATen/ops/empty.h>

#include <optional>

#include "core/base/check.h"
#include "core/kernels/row_copy.h"
#include "core/kernels/row_sum.h"
#include "parallel/dispatch/exchange_leg.h"
#include "parallel/dispatch/token_exchanges.h"
#include "parallel/dispatch/two_hop_pattern.h"

namespace hetmoe {
namespace {

/// The rows that one leg has under way.
struct RowsUnderWay {
  at::Tensor sent;
  // Last: destroyed first, so that nothing is under way when the buffer goes.
  std::optional<Pending> pending;

  void start(at::Tensor rows, auto start_leg) {
    sent = std::move(rows);
    pending.emplace(start_leg(sent));
  }
  void finish() {
    pending->wait();
    sent.reset();
  }
};

/// Three legs: `near` between ranks of a node, `far` to the ranks of other nodes that hand on, and
/// `on` from those to ranks of their node. They leave in this order: far, near, on.
class TwoHopExchange final : public TokenExchange {
 public:
  TwoHopExchange(Traffic& traffic, const LayerServers& servers, const at::Tensor& x,
                 const Routing& routing)
      : nodes_(traffic.nodes()),
        rank_(traffic.group().rank()),
        selections_(routing.selections()),
        pattern_(make_two_hop_pattern(routing, servers, nodes_, rank_)),
        near_(leg_of(traffic, x, pattern_.near)),
        far_(leg_of(traffic, x, pattern_.far)),
        on_{.traffic = traffic, .columns = x.size(1)} {
    exchange_counts();
    wire_far_.resize(sum(far_.selections_in));
    wire_near_.resize(sum(near_.selections_in));
    wire_on_.resize(sum(on_.selections_in));
    far_selections_.emplace(far_.start_selections(pattern_.far.wire, wire_far_));
    start_far_rows(x);
    near_selections_.emplace(near_.start_selections(pattern_.near.wire, wire_near_));
    received_.x = rows_for_experts(x);
    start_near_rows(x, received_.x);
    remember_lists(routing.tokens());
  }

  const ReceivedTokens& finish_dispatch() override {
    far_selections_->wait();
    make_on_pattern();
    on_selections_.emplace(on_.start_selections(on_pattern_.wire, wire_on_));
    hand_on(received_.x);
    near_selections_->wait();
    on_selections_->wait();
    append_selections(wire_near_, near_, 0, received_);
    append_selections(wire_on_, on_, sum(near_.rows_in), received_);
    finish_all_rows();
    return received_;
  }

  void start_combine(const at::Tensor& partial) override { return_rows(partial); }

  at::Tensor finish_combine() override {
    return_far_rows();
    return sum_over_ranks();
  }

  void start_dispatch_gradient(const at::Tensor& dy) override {
    start_far_rows(dy);
    rows_in_ = rows_for_experts(dy);
    start_near_rows(dy, rows_in_);
  }

  at::Tensor finish_dispatch_gradient() override {
    hand_on(rows_in_);
    finish_all_rows();
    return std::move(rows_in_);
  }

  void start_combine_gradient(const at::Tensor& partial, std::span<const double> dgates) override {
    HETMOE_CHECK(dgates.size() == received_.row.size(), dgates.size(), " gate gradients for ",
                 received_.row.size(), " received selections");
    dgates_.assign(dgates.begin(), dgates.end());
    const std::span<const double> sent(dgates_);
    dgates_on_.resize(on_pattern_.selection.size());
    dgates_in_.resize(pattern_.near.selection.size() + pattern_.far.selection.size());
    on_selections_.emplace(on_.return_gate_gradients(sent.subspan(wire_near_.size()), dgates_on_));
    near_selections_.emplace(near_.return_gate_gradients(
        sent.first(wire_near_.size()),
        std::span<double>(dgates_in_).first(pattern_.near.selection.size())));
    return_rows(partial);
  }

  Gradient finish_combine_gradient() override {
    on_selections_->wait();
    dgates_far_.resize(wire_far_.size());
    for (std::size_t i = 0; i < dgates_on_.size(); ++i) {
      dgates_far_[on_pattern_.selection[i]] = dgates_on_[i];
    }
    far_selections_.emplace(far_.return_gate_gradients(
        dgates_far_, std::span<double>(dgates_in_).subspan(pattern_.near.selection.size())));
    return_far_rows();
    near_selections_->wait();
    far_selections_->wait();
    Gradient gradient{sum_over_ranks(), std::vector<double>(selections_, 0.0)};
    auto dgate = dgates_in_.begin();
    for (const DispatchPattern* pattern : {&pattern_.near, &pattern_.far}) {
      for (const std::int64_t s : pattern->selection) gradient.dgates[s] += *dgate++;
    }
    return gradient;
  }

 private:
  static ExchangeLeg leg_of(Traffic& traffic, const at::Tensor& x, const DispatchPattern& pattern) {
    return {.traffic = traffic,
            .columns = x.size(1),
            .rows_out = pattern.rows_to_rank,
            .selections_out = pattern.selections_to_rank};
  }

  /// Tells every rank what it gets in the end, and those that hand on what they get for others.
  void exchange_counts() {
    const int ranks = nodes_.ranks();
    Counts send;
    for (int rank = 0; rank < ranks; ++rank) {
      const bool is_far = nodes_.are_apart(rank_, rank);
      const DispatchPattern& near = pattern_.near;
      const DispatchPattern& far = pattern_.far;
      send.insert(send.end(),
                  {is_far ? pattern_.rows_for_rank[rank] : near.rows_to_rank[rank],
                   is_far ? pattern_.selections_for_rank[rank] : near.selections_to_rank[rank],
                   far.rows_to_rank[rank], far.selections_to_rank[rank]});
    }
    Counts receive(send.size());
    exchange_equal_parts(near_.traffic, send, receive);
    for (ExchangeLeg* leg : {&near_, &far_, &on_}) {
      leg->rows_in.assign(ranks, 0);
      leg->selections_in.assign(ranks, 0);
    }
    for (int rank = 0; rank < ranks; ++rank) {
      const std::int64_t* told = receive.data() + 4 * static_cast<std::ptrdiff_t>(rank);
      const bool is_far = nodes_.are_apart(rank_, rank);
      const int from = is_far ? nodes_.relay(rank, nodes_.node_of(rank_)) : rank;
      ExchangeLeg& last = is_far ? on_ : near_;
      last.rows_in[from] += told[0];
      last.selections_in[from] += told[1];
      far_.rows_in[rank] = told[2];
      far_.selections_in[rank] = told[3];
    }
  }

  void remember_lists(std::int64_t tokens) {
    std::vector<std::int64_t> token_of_row = pattern_.near.token;
    token_of_row.insert(token_of_row.end(), pattern_.far.token.begin(), pattern_.far.token.end());
    rows_of_token_ = lists_of_rows(token_of_row, tokens);
  }

  void make_on_pattern() {
    on_pattern_ = make_handing_on_pattern({.wire = wire_far_,
                                           .rows_from_rank = far_.rows_in,
                                           .selections_from_rank = far_.selections_in},
                                          nodes_, rank_);
    on_.rows_out = on_pattern_.rows_to_rank;
    on_.selections_out = on_pattern_.selections_to_rank;
    rows_of_far_row_ = lists_of_rows(on_pattern_.token, sum(far_.rows_in));
  }

  at::Tensor rows_for_experts(const at::Tensor& like) const {
    return at::empty({sum(near_.rows_in) + sum(on_.rows_in), like.size(1)}, like.options());
  }
  at::Tensor near_part(const at::Tensor& rows) const {
    return rows.narrow(0, 0, sum(near_.rows_in));
  }
  at::Tensor on_part(const at::Tensor& rows) const {
    return rows.narrow(0, sum(near_.rows_in), sum(on_.rows_in));
  }

  void start_far_rows(const at::Tensor& rows) {
    far_in_ = at::empty({sum(far_.rows_in), rows.size(1)}, rows.options());
    far_rows_.start(gather_rows(rows, pattern_.far.token),
                    [&](const at::Tensor& out) { return far_.start_rows(out, far_in_); });
  }

  void start_near_rows(const at::Tensor& rows, const at::Tensor& in) {
    near_rows_.start(gather_rows(rows, pattern_.near.token),
                     [&](const at::Tensor& out) { return near_.start_rows(out, near_part(in)); });
  }

  /// What came from other nodes, to the ranks of this one; `in` gets what is for this rank.
  void hand_on(const at::Tensor& in) {
    far_rows_.finish();
    on_rows_.start(gather_rows(far_in_, on_pattern_.token),
                   [&](const at::Tensor& out) { return on_.start_rows(out, on_part(in)); });
    far_in_.reset();
  }

  void finish_all_rows() {
    near_rows_.finish();
    on_rows_.finish();
  }

  /// Rows of this node's tokens to who has them, the others to who handed them on.
  void return_rows(const at::Tensor& partial) {
    const at::Tensor rows = partial.contiguous();
    const std::int64_t near_rows = sum(near_.rows_out);
    far_in_ = at::empty({sum(on_.rows_out), rows.size(1)}, rows.options());
    rows_in_ = at::empty({near_rows + sum(far_.rows_out), rows.size(1)}, rows.options());
    on_rows_.start(on_part(rows),
                   [&](const at::Tensor& in) { return on_.return_rows(in, far_in_); });
    near_rows_.start(near_part(rows), [&](const at::Tensor& in) {
      return near_.return_rows(in, rows_in_.narrow(0, 0, near_rows));
    });
  }

  /// The sums over this node's ranks to other nodes, and theirs here.
  void return_far_rows() {
    on_rows_.finish();
    const std::int64_t near_rows = sum(near_.rows_out);
    far_rows_.start(sum_rows(far_in_, rows_of_far_row_), [&](const at::Tensor& in) {
      return far_.return_rows(in, rows_in_.narrow(0, near_rows, sum(far_.rows_out)));
    });
    far_in_.reset();
    near_rows_.finish();
    far_rows_.finish();
  }

  at::Tensor sum_over_ranks() {
    const at::Tensor total = sum_rows(rows_in_, rows_of_token_);
    rows_in_.reset();
    return total;
  }

  const RankNodes& nodes_;
  int rank_;
  std::int64_t selections_;
  TwoHopPattern pattern_;
  DispatchPattern on_pattern_;  ///< of rows and selections that came by `far`
  ExchangeLeg near_, far_, on_;
  RowLists rows_of_token_;    ///< those that return by `near`, then those by `far`
  RowLists rows_of_far_row_;  ///< those that return by `on`
  std::vector<SelectionOnWire> wire_near_, wire_far_, wire_on_;
  ReceivedTokens received_;  ///< by `near`, then by `on`
  at::Tensor far_in_;
  at::Tensor rows_in_;
  std::vector<double> dgates_, dgates_on_, dgates_far_, dgates_in_;
  // Last: destroyed first, so that nothing is under way when the buffers go.
  std::optional<Pending> near_selections_, far_selections_, on_selections_;
  RowsUnderWay near_rows_, far_rows_, on_rows_;
};

}  // namespace

std::unique_ptr<TokenExchange> start_two_hops(Traffic& traffic, const LayerServers& servers,
                                              const at::Tensor& x, const Routing& routing) {
  return std::make_unique<TwoHopExchange>(traffic, servers, x, routing);
}

}  // namespace hetmoe
