#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/config/tree.h"

namespace hetmoe {

/// One run of a sweep.
struct SweepRun {
  std::string name;                   ///< of its folder: letters, digits, "._+-"
  std::vector<std::string> settings;  ///< "a.b=value" as --set takes them, the last one counts
};

/// Runs that differ in single keys of one configuration.
struct Sweep {
  std::string config_path;     ///< relative to the working directory
  std::vector<SweepRun> runs;  ///< at least one, names are unique
};

inline constexpr std::size_t kMostSweepRuns = 100;
/// What a sweep writes beside its runs' folders.
inline constexpr const char* kComparisonFile = "comparison.html";
inline constexpr const char* kSubmittedEnding = ".submitted";

/// A sweep from a file with the keys config, set (for all runs), runs (name: what is set) and grid
/// (key: list of values): each of the runs, or the configuration itself, with each combination of
/// the grid's values, which become part of the run's name: "wide-seed-2". All runs with the first
/// combination come first. What a configuration says to the keys is not asked here.
/// Errors: one ConfigError with every fault, a line each, that names file, line and what is
/// allowed.
Sweep read_sweep(const std::string& path);

/// The same of a tree that has been read.
Sweep parse_sweep(const ConfigNode& root);

}  // namespace hetmoe
