#pragma once

#include <optional>
#include <string>
#include <vector>

#include "parallel/communicator/communicator.h"
#include "parallel/placement/expert_groups.h"
#include "parallel/placement/planner.h"
#include "runtime/checkpoint/checkpoint_folder.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// The checkpoint that a run goes on from, open on every rank, and what was passed over to get to
/// it. No checkpoint: the run begins at step 1, with new weights or those of another checkpoint.
struct ResumePoint {
  std::optional<CheckpointReader> checkpoint;
  std::optional<CheckpointReader> weights;  ///< of `--init`; never beside `checkpoint`
  std::vector<std::string> passed_over;     ///< a line each; the same on every rank
  std::vector<std::string> notes;           ///< the same, of `--init`
};

/// The newest committed step of `folder` whose files all have their digests; every rank reads a
/// part of them. Nothing committed: none. Collective, blocking: all files are read once. Only what
/// is damaged (format, digest, shape, a missing file) is passed over.
/// Errors: AgreedError (storage) when there are committed steps and none verifies: starting anew
/// would overwrite what may still be saved by hand; when one could not be read, or some ranks only
/// see it damaged: going on from an older one would lose it for a disk's passing fault.
ResumePoint find_newest(const CheckpointFolder& folder, Communicator& control);

/// The checkpoint that `path` stands for (resolve_checkpoint), verified in the same way.
/// Errors: AgreedError (storage) when it does not verify.
ResumePoint open_named(const std::string& path, Communicator& control);

/// `config` as the run goes on with it: precision auto becomes what was saved. Errors: ConfigError,
/// a line per key that may not change on resume.
RunConfig resumed_config(RunConfig config, const CheckpointReader& checkpoint);

/// Where experts go: on as many ranks in equal groups, under the same placement keys, as the
/// checkpoint says, else planned anew for the loads it holds. Collective. Errors: AgreedError.
Plan resumed_plan(const RunConfig& config, const Manifest& manifest, const ExpertGroups& groups,
                  Communicator& control);

}  // namespace hetmoe
