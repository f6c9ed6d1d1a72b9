#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace hetmoe {

/// One file of a checkpoint.
struct CheckpointFile {
  std::string name;  ///< in the checkpoint's folder
  std::int64_t bytes = 0;
  std::string digest;  ///< "xxh3-128:<32 hex digits>" of the whole file
};

/// Some rows of a tensor, and where they stand.
struct TensorPart {
  std::int64_t row_begin = 0;
  std::int64_t row_end = 0;
  std::string file;
  std::string key;  ///< "<name>#<begin>:<end>"
};

/// One global tensor: masters under its own name, moments under "exp_avg." and "exp_avg_sq." before
/// it. Parts tile the rows, ascending. Always fp32.
struct CheckpointTensor {
  std::vector<std::int64_t> shape;  ///< [rows, columns]; a vector: [rows]
  std::vector<TensorPart> parts;

  std::int64_t rows() const { return shape.front(); }
  std::int64_t columns() const { return shape.size() > 1 ? shape[1] : 1; }
};

/// What a run needs beside its tensors to go on as if it had not stopped.
struct CheckpointState {
  std::uint64_t sampler_seed = 0;      ///< with the step it says which windows come next
  std::int64_t optimizer_updates = 0;  ///< AdamW's bias correction counts these, not skipped steps
  std::int64_t skipped_steps = 0;
  std::vector<std::vector<std::int64_t>> loads;  ///< [layers][experts] tokens of the last window
  int ranks = 0;                                 ///< of the world that saved
  int expert_group_size = 0;                     ///< of that world, resolved
  std::string
      plan;  ///< JSON object, over the ranks of an expert group; as plan.json, members sorted
  std::string config;  ///< YAML, resolved
};

/// `manifest.json`. The names in the file are a contract: {format, step, tokens, generation, files,
/// tensors, state: {sampler, optimizer_steps, loads, placement, config, ...}}.
struct Manifest {
  std::int64_t step = 0;
  std::int64_t tokens = 0;
  int generation = 1;
  std::vector<CheckpointFile> files;
  std::map<std::string, CheckpointTensor> tensors;
  CheckpointState state;
};

inline constexpr const char* kManifestFormat = "hetmoe-checkpoint-1";
inline constexpr const char* kManifestName = "manifest.json";
inline constexpr const char* kCommittedName = "COMMITTED";

inline constexpr std::string_view kFirstMoment = "exp_avg.";
inline constexpr std::string_view kSecondMoment = "exp_avg_sq.";

/// The key of rows [begin, end) of a tensor in a file.
std::string part_key(std::string_view tensor, std::int64_t begin, std::int64_t end);

/// Longer texts are refused: about 300,000 parts.
inline constexpr std::int64_t kLongestManifest = std::int64_t{64} << 20;

/// Two-space indented JSON; the same manifest gives the same bytes. Checks nothing but that the
/// plan is a JSON object: read_manifest says whether it is one that can be read.
std::string write_manifest(const Manifest& manifest);

/// Reads and checks: known format, no unknown, missing or repeated member, plain file names without
/// a path, none twice, digests well formed, parts that tile their tensor's rows without hole or
/// overlap, name files of the list that have room for them and keys that part_key gives, every size
/// positive and bounded. The plan is checked to be an object only, the configuration to be a text.
/// `file` is named in errors, with the JSON pointer of the fault. Errors: StorageError, one line.
Manifest read_manifest(std::string_view text, const std::string& file);

}  // namespace hetmoe
