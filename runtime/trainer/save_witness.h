#pragma once

#include <cstdint>
#include <string>

#include "runtime/checkpoint/manifest.h"
#include "runtime/metrics/training_record.h"

namespace hetmoe {

/// Who else has to agree before a save is committed, and is told what came of it. Called by the
/// training thread; none of it blocks.
class SaveWitness {
 public:
  enum class Answer : std::uint8_t { kNotYet, kAway, kAgreed, kRefused };

  virtual ~SaveWitness() = default;

  /// Every rank: its shard of the step is written and synced.
  virtual void prepared(std::int64_t step, const CheckpointFile& file) = 0;
  /// Rank 0: of the step prepared last. kAway: it cannot be asked, nobody should stand still for
  /// it.
  virtual Answer answer() const = 0;
  /// Why it refuses.
  virtual std::string refusal() const = 0;
  /// Every rank: the save is over, one way or the other.
  virtual void concluded(const SaveRecord& record) = 0;
};

}  // namespace hetmoe
