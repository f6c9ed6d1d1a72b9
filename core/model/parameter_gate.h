#pragma once

namespace hetmoe {

/// Where computation waits for parameters that are still on their way. Block -1 is the embedding,
/// 0 .. layers - 1 the blocks, `layers` the final norm and the head.
class ParameterGate {
 public:
  virtual ~ParameterGate() = default;
  virtual void wait(int block) = 0;
  /// Evaluation, save, rebalance and export call this.
  virtual void wait_all() = 0;
};

/// Parameters are always there: one rank, or a blocking broadcast.
class OpenParameterGate final : public ParameterGate {
 public:
  void wait(int /*block*/) override {}
  void wait_all() override {}
};

}  // namespace hetmoe
