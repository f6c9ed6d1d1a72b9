#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint_folder.h"

namespace hetmoe {

/// Three files, tensors cut at odd rows, some over several files; values that depend on step,
/// tensor, row and column.
inline constexpr int kSmallFiles = 3;

/// The whole tensor, row-major, as a checkpoint of that step holds it.
std::vector<float> small_values(const Manifest& manifest, const std::string& tensor);

/// Everything but files' sizes and digests.
Manifest small_manifest(std::int64_t step);

/// Writes the data files and fills in their sizes and digests.
void write_small_files(const std::filesystem::path& folder, Manifest& manifest);

/// begin, files, commit. Gives the step's folder.
std::filesystem::path save_small(const CheckpointFolder& checkpoints, std::int64_t step);

}  // namespace hetmoe
