#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hetmoe {

struct TrainingOptions {
  std::vector<std::string> inputs;
  std::int64_t vocab_size = 0;
  std::string out_prefix;  ///< gives out_prefix.model
  std::uint64_t seed = 1;
  std::int64_t sample_bytes = std::int64_t{4} << 20;
};

/// Lines of the inputs, about sample_bytes of them and never more, chosen by a hash of
/// (seed, number of the line); cut where they are too long, or hold what SentencePiece cannot learn
/// from (bytes that are not UTF-8, tabs and the two signs it keeps for itself). Streams the inputs.
std::vector<std::string> sample_lines(const TrainingOptions& options);

/// Trains a byte-pair model that keeps every byte: no normalisation, no trimming, pieces for all
/// bytes, pieces of several spaces. Deterministic. Throws std::runtime_error of one line.
void train_model(const TrainingOptions& options);

}  // namespace hetmoe
