#pragma once

#include <optional>
#include <string>
#include <vector>

namespace hetmoe {

struct CalibrateOptions {
  std::string out_path;               ///< the cluster file
  std::string config_path;            ///< empty: a grid of sizes for any model
  std::vector<std::string> settings;  ///< "a.b=c" of the configuration
  std::string precision;              ///< fp32, bf16, auto; empty: the configuration's
  std::optional<int> threads;         ///< per rank
  double seconds = 60;
  bool json = false;
};

/// `hetmoe calibrate`: measures the ranks it runs on, writes the cluster file whole or not at all,
/// and shows the figures. Progress goes to standard error. Gives the exit code.
/// Collective: every rank of the world calls it with the same options. Errors: those of
/// core/base/error.h; an output path that cannot be written is refused before anything is measured.
int run_calibrate_command(const CalibrateOptions& options);

}  // namespace hetmoe
