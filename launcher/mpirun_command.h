#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "launcher/launch_options.h"

namespace hetmoe {

/// A program, its arguments and what is added to the environment for it.
struct Command {
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<std::string> words;
};

/// One line that a POSIX shell reads as this command: words quoted where they need it.
std::string shell_line(const Command& command);

/// What the line depends on beside the options.
struct Surroundings {
  std::string program;    ///< path of hetmoe
  std::string launch_id;  ///< the same for all attempts of a launch: the run's lock knows it again
  bool is_root = false;
  int numa_nodes = 1;                                   ///< of this machine
  std::function<bool(const std::string& name)> is_set;  ///< an environment variable
};

/// What may differ between the attempts of a launch.
struct AttemptShape {
  int ranks = 0;
  std::string hosts;   ///< "a:2,b:2" in place of the hostfile; empty: as in the options
  std::string resume;  ///< empty: what train does
};

/// `mpirun ... hetmoe train ...`. `options.run_dir` is given. On one machine, which is where
/// neither a hostfile nor a batch system names hosts, ranks may outnumber cores and talk by plain
/// shared memory; what the user has set of that stays. Ranks are bound to NUMA nodes of this
/// machine that they fill evenly, and to nothing elsewhere: a rank then takes its share of all
/// cores, where mpirun by itself gives each of two ranks a single core.
Command mpirun_command(const LaunchOptions& options, const Surroundings& surroundings,
                       const AttemptShape& shape);

/// `mpirun ... words` with so many ranks of any program on this machine, as launch starts them.
Command local_ranks_command(const Surroundings& surroundings, int ranks,
                            const std::vector<std::string>& words);

}  // namespace hetmoe
