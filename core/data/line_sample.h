#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/random.h"

namespace hetmoe {

/// A bounded sample of the lines of documents, for training a vocabulary: the lines with the
/// smallest hashes of (seed, number of the line), as many as fit. It depends on the documents
/// alone, not on the files that they come from, and one pass does. Long lines count as several.
class LineSample {
 public:
  LineSample(std::uint64_t seed, std::int64_t limit_bytes);

  void add(std::string_view document);
  /// The lines that were kept, in their order, each with a line end: at most limit_bytes.
  std::string text() const;

 private:
  struct Line {
    std::uint64_t hash = 0;
    std::uint64_t number = 0;
    std::string text;
    bool operator<(const Line& other) const {
      return hash != other.hash ? hash < other.hash : number < other.number;
    }
  };
  void add_line(std::string_view line);

  CounterRandom random_;
  std::int64_t limit_bytes_;
  std::uint64_t number_ = 0;
  std::uint64_t bound_;  ///< hashes from here on are out
  std::int64_t kept_bytes_ = 0;
  std::vector<Line> kept_;  ///< a heap, the largest hash in front
};

}  // namespace hetmoe
