#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/checkpoint/manifest.h"

namespace hetmoe {

/// One step's folder, as a list shows it.
struct ListedCheckpoint {
  std::string path;
  std::optional<std::int64_t> step;  ///< none: neither the manifest nor the folder's name says it
  bool committed = false;
  std::string fault;       ///< why it cannot be read; empty: it can
  std::int64_t bytes = 0;  ///< of the files that are there
  // Of one that can be read:
  std::string saved;  ///< when COMMITTED was written, UTC
  std::int64_t tokens = 0;
  int generation = 0;
  int ranks = 0;
  std::size_t files = 0;
};

std::string checkpoint_list_text(std::span<const ListedCheckpoint> checkpoints);
std::string checkpoint_list_json(std::span<const ListedCheckpoint> checkpoints);

/// What reading all of a committed checkpoint found.
struct VerifiedCheckpoint {
  std::string path;
  std::size_t files = 0;
  std::int64_t bytes = 0;
  std::vector<std::string> faults;  ///< each names a file; none: it is whole
};

/// `unfinished` of the steps that were looked at have no marker, and were left out.
std::string checkpoint_verification_text(std::span<const VerifiedCheckpoint> checkpoints,
                                         std::size_t unfinished);
std::string checkpoint_verification_json(std::span<const VerifiedCheckpoint> checkpoints,
                                         std::size_t unfinished);

/// What a manifest says, without the configuration; `with_tensors`: and a line per tensor.
std::string checkpoint_text(const Manifest& manifest, const ListedCheckpoint& checkpoint,
                            bool with_tensors);
std::string checkpoint_json(const Manifest& manifest, const ListedCheckpoint& checkpoint,
                            bool with_tensors);

/// Elements of all tensors but moments.
std::int64_t parameters_of(const Manifest& manifest);

}  // namespace hetmoe
