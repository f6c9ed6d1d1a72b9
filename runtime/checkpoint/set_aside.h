#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint_folder.h"

namespace hetmoe {

/// Before a run goes on after `step`: committed steps beyond it, damaged ones or those of another
/// course, would be in the way of the same steps saved anew, and the next restart would take them
/// for newer. They are renamed, "step-00000010.set-aside-3" with the generation that goes on, and
/// are then no checkpoints for anybody; nothing removes them. Gives a line for each.
/// The process that writes the folder only. Blocking: the disk. Errors: StorageError.
std::vector<std::string> set_aside_after(const CheckpointFolder& folder, std::int64_t step,
                                         int generation);

}  // namespace hetmoe
