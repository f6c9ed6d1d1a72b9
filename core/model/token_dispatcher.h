#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/model/routing.h"

namespace hetmoe {

/// Rows that came to a rank, in an order that depends on who sent what alone, each row once however
/// many of its experts have slices here; and the selections, one for each slice that a row
/// concerns, in row order and, within a row, in order of slice.
struct ReceivedTokens {
  at::Tensor x;                     ///< [R, D], compute type
  std::vector<std::int64_t> row;    ///< [selections] index into x
  std::vector<std::int32_t> slice;  ///< [selections] index among this rank's slices of the layer
  std::vector<double> gate;         ///< [selections]
};

/// One dispatch of one layer and microbatch, from forward to backward. The eight calls come in this
/// order (evaluation stops after finish_combine); between a start and its finish the caller may
/// compute. Collective: all ranks of the expert group, with zero tokens as well.
class TokenExchange {
 public:
  virtual ~TokenExchange() = default;

  /// Forward: the rows that concern slices here. Valid until the exchange is destroyed.
  virtual const ReceivedTokens& finish_dispatch() = 0;
  /// `partial` [R, D], compute type: for every received row the sum over the slices here.
  virtual void start_combine(const at::Tensor& partial) = 0;
  /// [T, D], compute type: for every token the sum over ranks, added in a fixed order in fp32
  /// (fp64).
  virtual at::Tensor finish_combine() = 0;

  /// Backward of combine: dy [T, D] goes the way of the tokens.
  virtual void start_dispatch_gradient(const at::Tensor& dy) = 0;
  virtual at::Tensor finish_dispatch_gradient() = 0;  ///< [R, D]
  /// Backward of dispatch: `partial` [R, D] and one gate gradient per received selection return.
  virtual void start_combine_gradient(const at::Tensor& partial,
                                      std::span<const double> dgates) = 0;
  struct Gradient {
    at::Tensor dx;               ///< [T, D], compute type
    std::vector<double> dgates;  ///< one per selection of the routing
  };
  virtual Gradient finish_combine_gradient() = 0;
};

/// Payload that a rank has sent to other ranks, in bytes.
struct ExchangedBytes {
  std::int64_t dispatch = 0;    ///< towards the experts: tokens, and gradients of their outputs
  std::int64_t combine = 0;     ///< back: outputs, and gradients of the tokens
  std::int64_t other_node = 0;  ///< of both, to ranks of other nodes; 0 where these are not known
};

/// Moves tokens to the ranks that hold slices of their experts, and the results back. A token's row
/// gets once to each destination rank. No capacity limit: nothing is dropped.
class TokenDispatcher {
 public:
  virtual ~TokenDispatcher() = default;

  /// Shape: x [T, D], compute type. The exchange keeps x and the routing's lists that it needs;
  /// x must not change until finish_dispatch.
  virtual std::unique_ptr<TokenExchange> start_dispatch(int layer, const at::Tensor& x,
                                                        const Routing& routing) = 0;

  /// By this rank since the start, forward and backward.
  virtual ExchangedBytes bytes_sent() const = 0;
};

}  // namespace hetmoe
