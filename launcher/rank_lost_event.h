#pragma once

#include <filesystem>

#include "launcher/restart_policy.h"

namespace hetmoe {

/// Appends `rank_lost` to events.jsonl: code, reason, restart, and of the last recorded step
/// generation and number; rank is -1 where it is not known which one it was. Does nothing when
/// the run has no events yet. Only once the attempt's processes are gone: two writers would tear
/// each other's lines. Errors: StorageError.
void record_rank_lost(const std::filesystem::path& run_directory, const Verdict& verdict,
                      int restart);

}  // namespace hetmoe
