#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hetmoe {

/// Who holds a run directory: what stands in `lock.json`.
struct LockHolder {
  std::string host;
  /// Where `process` means something: the boot and the process namespace. Two machines or
  /// containers may bear one host name, and each has a process 1.
  std::string process_table;
  std::int64_t process = 0;
  std::int64_t process_start = 0;  ///< clock ticks after boot, tells a reused number; 0: unknown
  std::string slurm_job;           ///< empty: none
  std::string launch_id;           ///< empty: none
  int generation = 1;
  std::int64_t beat = 0;  ///< grows while the holder lives

  /// "process 12 on host n1 (Slurm job 7, generation 3)".
  std::string text() const;
};

/// This process; job and launch from SLURM_JOB_ID and HETMOE_LAUNCH_ID of the environment.
LockHolder this_process();

/// Whether the two are the same holding of a lock, whatever the beat.
bool same_holding(const LockHolder& one, const LockHolder& other);

/// Why `self` may take over from `holder` without waiting: its process is gone from this host, or
/// it ran elsewhere under the same Slurm job or launch. Nothing: it has to be watched.
std::optional<std::string> reason_to_take_over(const LockHolder& holder, const LockHolder& self);

std::string write_lock_holder(const LockHolder& holder);

/// Nothing when the text is damaged: not a whole object, a member missing, of another type, out of
/// its bounds or not printable. Never throws.
std::optional<LockHolder> read_lock_holder(std::string_view text);

/// Longer files are taken for damage.
inline constexpr std::size_t kLongestLockBytes = 65536;

}  // namespace hetmoe
