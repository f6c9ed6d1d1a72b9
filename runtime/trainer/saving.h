#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "parallel/communicator/communicator.h"
#include "runtime/checkpoint/checkpoint_folder.h"
#include "runtime/checkpoint/shard_file.h"
#include "runtime/metrics/training_record.h"
#include "runtime/trainer/save_witness.h"
#include "runtime/trainer/saving_patience.h"
#include "runtime/trainer/snapshot.h"

namespace hetmoe {

/// What writes a rank's shard: write_shard, but for tests.
using ShardWriter =
    std::function<WrittenShard(const std::filesystem::path& folder, const std::string& name,
                               const std::vector<ShardRows>& rows)>;

/// Saves checkpoints while training goes on: it stops only for the copy to host memory. Every rank
/// writes what it owns from a thread of its own; when all have, rank 0 commits, again beside the
/// training. At most one save is under way.
/// With a witness rank 0 commits when that agrees too; where training waits for the save, or the
/// job ends, it is given a second (nothing when it is away), and then the ranks' own agreement is
/// enough. A refusal fails it. A save that fails on any rank fails on all, leaves nothing behind
/// and ends no training. Collective, all of it; no communication while nothing is under way.
class Saving {
 public:
  /// `control`, `clock` and `witness` (null: none) must outlive this.
  Saving(CheckpointFolder folder, Retention retention, TensorShapes shapes, Communicator& control,
         const Clock& clock, SavingPatience patience = {}, ShardWriter write = write_shard,
         SaveWitness* witness = nullptr);

  /// Begins to save what `owned` holds now. `manifest` says all but files and tensors. Nothing may
  /// be under way: wait before. Blocks for the copy.
  void begin(Manifest manifest, const std::vector<OwnedRows>& owned);

  /// After every step: takes the save that is under way further if all ranks can. Does not block
  /// for the disk.
  void poll();

  /// Until nothing is under way. What it takes counts as time that the next save blocks.
  /// Errors: AgreedError (storage) when it takes longer than the patience allows; the save is then
  /// still under way, and what was committed before it is whole.
  void wait();

  /// What has come of a save since the last call.
  std::optional<SaveRecord> take_result();

 private:
  enum class Stage : std::uint8_t { kIdle, kWriting, kCommitting };

  void start_writing(const std::vector<OwnedRows>& owned);
  void take_written();
  bool all_agree();
  bool everyone(bool is_ready);
  void tell_of_slow(int rank);
  [[noreturn]] void give_up(int rank);
  void commit();
  void conclude();
  void fail(const std::string& reason);
  void tell();

  CheckpointFolder folder_;
  Retention retention_;
  TensorShapes shapes_;
  Communicator& control_;
  const Clock& clock_;
  const SavingPatience patience_;
  const ShardWriter write_;
  SaveWitness* witness_;
  bool witness_is_late_ = false;
  Stage stage_ = Stage::kIdle;
  Manifest manifest_;
  bool has_folder_ = false;  ///< the step's folder is this save's
  Snapshot snapshot_;
  SaveRecord record_;
  double begin_seconds_ = 0;
  double waited_seconds_ = 0;
  double next_tell_seconds_ = 0;              ///< after the begin
  std::optional<double> wait_begin_seconds_;  ///< while wait() lasts
  std::optional<SaveRecord> result_;
  std::future<WrittenShard> writing_;
  std::optional<WrittenShard> written_;               ///< this rank's, or
  std::exception_ptr write_failure_;                  ///< why there is none
  std::future<std::vector<std::string>> committing_;  ///< rank 0; what could not be pruned
};

}  // namespace hetmoe
