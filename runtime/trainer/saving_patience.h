#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace hetmoe {

/// A save that takes long.
struct SlowSave {
  std::int64_t step = 0;
  std::filesystem::path folder;  ///< of the step
  double seconds = 0;            ///< since it was begun, by rank 0's clock
  int rank = 0;                  ///< the lowest that has not finished its part
  bool blocks = false;           ///< training waits for it
};

/// How long a save may take, and who hears of it. Nothing given: for ever, and nobody.
struct SavingPatience {
  /// Told of after so long, or a quarter of wait_seconds; then after twice, four times as long...
  double tell_seconds = 60;
  double wait_seconds = 0;  ///< that training may wait for one save; 0: for ever
  /// Rank 0, between two collectives.
  std::function<void(const SlowSave&)> tell = {};
  /// Every rank, once, when wait_seconds have passed, before the AgreedError is thrown. A thread
  /// that hangs in the disk cannot be ended, and whoever destroys this object waits for it: so
  /// somebody must end the process some time later.
  std::function<void(int slow_rank, const std::string& text)> give_up = {};
};

/// Ends this process with the code of storage and a line that gives `text` once `grace_seconds`
/// have passed, unless it has ended by itself by then. For SavingPatience::give_up.
void end_process_later(int rank, const std::string& text, double grace_seconds);

}  // namespace hetmoe
