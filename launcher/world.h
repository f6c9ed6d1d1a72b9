#pragma once

#include <functional>

#include "parallel/communicator/communicator.h"

namespace hetmoe {

/// Runs `work` on this rank of the job that mpirun or srun started, or on a world of one, and gives
/// the exit code. An error that all ranks agreed on is printed by rank 0, which ends with its code,
/// the others with 0; an error of this rank alone ends the whole job.
/// Collective: every rank of the job calls it. Blocking: until `work` returns.
int run_on_world(const std::function<void(Communicator& world)>& work);

}  // namespace hetmoe
