#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "core/gpu/stream.h"
#include "parallel/communicator/operation_name.h"

namespace hetmoe {

/// The operations that one stream has been given and that have not been seen to end, in its order,
/// and events for those to come. Threads: whoever holds its owner's lock.
class StreamWork {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Started {
    OperationName name;
    gpu::OwnedEvent ended;
    std::optional<Time> asked_for;  ///< since then somebody has waited for it
  };

  /// For an operation that is about to be put on the stream.
  std::shared_ptr<Started> place_for(const OperationName& name);
  /// It is on the stream now, and so is its event.
  void add(std::shared_ptr<Started> started);
  /// From now on somebody waits for it, and so for all before it.
  void ask_for(const Started& started);

  /// Asks the device. Errors: DeviceError.
  void forget_ended();
  /// Null: none is left.
  const Started* oldest() const { return under_way_.empty() ? nullptr : under_way_[0].get(); }
  /// The oldest one, if it has been waited for longer than that: a stream works in order, so none
  /// but the oldest holds the others up. Asks the device only when it looks late.
  const Started* overdue(double limit_seconds);

 private:
  bool is_late(double limit_seconds) const;

  std::deque<std::shared_ptr<Started>> under_way_;
  std::vector<std::shared_ptr<Started>> ended_;  ///< for their events
  Time oldest_since_;                            ///< when the oldest one became that
};

}  // namespace hetmoe
