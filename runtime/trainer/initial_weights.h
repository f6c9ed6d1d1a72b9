#pragma once

#include <string>

#include "parallel/communicator/communicator.h"
#include "parallel/ownership/owned_rows.h"
#include "runtime/run_config.h"
#include "runtime/trainer/resume.h"

namespace hetmoe {

/// The checkpoint, or a run directory's newest, whose weights a run begins with at step 1
/// (`--init`), into `point.weights`, verified; moments it need not have. What it would compute
/// otherwise in its own run is told by `point.notes`. Collective, blocking: all files are read
/// once. Errors: AgreedError, of configuration with the first difference when the models are not
/// of one shape, of storage when it does not verify or lacks a tensor.
void open_initial_weights(const std::string& path, const RunConfig& config, Communicator& control,
                          ResumePoint& point);

/// The masters of these rows, out of a checkpoint; moments stay as they are. Blocking: the disk.
/// Errors: StorageError.
void read_masters(CheckpointReader& checkpoint, OwnedRows& rows);

}  // namespace hetmoe
