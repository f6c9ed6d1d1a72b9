#pragma once

#include <string>
#include <vector>

#include "launcher/doctor/finding.h"
#include "launcher/mpirun_command.h"

namespace hetmoe {

// Looks at this machine. Each gives at least one finding and throws for nothing that it looks at.

/// mpirun is found, says its version and starts two ranks of this program that talk to one another.
/// Blocking: up to a minute.
Findings check_mpi(const Surroundings& surroundings);

/// What turns text into tokens lies beside this program and can be executed.
Findings check_tokenizers();

/// sinfo and sbatch are found, and the controller answers. Blocking: up to 20 s.
Findings check_slurm();

/// Addresses that a run is to listen on, "host:port", can be had: loopback always, and `asked`.
Findings check_ports(const std::vector<std::string>& asked);

/// A folder for run directories: writable, renames, locks and syncs, with room; whether it is a
/// network's. Leaves nothing in it.
Findings check_folder(const std::string& folder);

/// Cores, memory, shared memory, limits, pages, clock.
Findings check_machine();

/// LibTorch computes; what the processor has for bf16. Loads nothing but LibTorch.
Findings check_library();

/// GPU, driver and NCCL. After all that starts other processes: a driver may be started here.
Findings check_gpu();

}  // namespace hetmoe
