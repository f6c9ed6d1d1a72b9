#pragma once

#include <string>
#include <vector>

#include "launcher/restart_policy.h"

namespace hetmoe {

/// What `hetmoe launch` was told.
struct LaunchOptions {
  std::string config_path;
  int ranks = 0;
  std::vector<std::string> settings;        ///< "a.b=c", handed on to train
  std::string run_dir;                      ///< empty: a new name under runs/
  std::string resume;                       ///< auto, never or a path; empty: what train does
  std::string init;                         ///< handed on to train; empty: none
  std::string hostfile;                     ///< of Open MPI; empty: none
  std::string rankfile;                     ///< of Open MPI; empty: none
  std::vector<std::string> mpirun_options;  ///< handed on to mpirun, word by word
  bool shrink = false;                      ///< leave out hosts that no longer answer
  bool requeue = false;                     ///< a run that `hetmoe stop` ended gives 75, not 93
  bool dry_run = false;
  RestartLimits limits;
};

}  // namespace hetmoe
