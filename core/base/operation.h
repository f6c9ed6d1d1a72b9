#pragma once

namespace hetmoe {

/// What an operation cannot do without.
struct Work {
  double flops = 0;
  double bytes = 0;  ///< arguments and results, each once
};

/// Hears what a thread does. Calls nest.
class OperationListener {
 public:
  virtual ~OperationListener() = default;
  virtual void begin(const char* name, Work work) = 0;
  virtual void end() = 0;
  /// All since the last phase ended, or since the listener began to hear, was this.
  virtual void phase_ended(const char* name) = 0;
};

/// Who hears of this thread; null: nobody. The owner sets it and takes it back.
inline thread_local OperationListener* operation_listener = nullptr;

/// An operation within which others compute again, in the backward pass, what the forward pass did
/// not keep.
inline constexpr const char* kRecomputation = "recompute";

/// Names what its scope does. `name` must live for ever. With nobody listening it costs the look at
/// one variable.
class Operation {
 public:
  Operation(const char* name, Work work) : listener_(operation_listener) {
    if (listener_ != nullptr) listener_->begin(name, work);
  }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ~Operation() {
    if (listener_ != nullptr) listener_->end();
  }

 private:
  OperationListener* listener_;
};

}  // namespace hetmoe
