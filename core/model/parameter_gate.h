#pragma once

namespace hetmoe {

/// Where computation waits for parameters that are still on their way, block by block
/// (parameter_specs.h).
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
