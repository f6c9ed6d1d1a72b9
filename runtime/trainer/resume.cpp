#include "runtime/trainer/resume.h"

#include <array>
#include <span>
#include <sstream>
#include <utility>

#include "parallel/agreement.h"
#include "parallel/placement/plan_json.h"
#include "parallel/placement/validation.h"
#include "runtime/config_difference.h"
#include "runtime/trainer/initial_plan.h"

namespace hetmoe {
namespace {

/// Every rank reads each n-th file of the checkpoint. Collective.
CheckpointReader open_verified(const std::filesystem::path& path, Communicator& control) {
  std::optional<CheckpointReader> reader;
  collectively(control, [&] {
    reader.emplace(path);
    const std::size_t files = reader->manifest().files.size();
    for (std::size_t i = static_cast<std::size_t>(control.rank()); i < files;
         i += static_cast<std::size_t>(control.size())) {
      reader->verify_file(i);
    }
  });
  // On folders that differ from host to host each rank may find another checkpoint of that name.
  const Manifest& manifest = reader->manifest();
  std::array<std::int64_t, 4> seen = {manifest.step, -manifest.step, manifest.generation,
                                      -manifest.generation};
  control.all_reduce(buffer_of(std::span<std::int64_t>(seen)), Reduction::kMax).wait();
  collectively(control, [&] {
    if (seen[0] == -seen[1] && seen[2] == -seen[3]) return;
    throw StorageError("checkpoint '" + path.string() + "' is of step " +
                       std::to_string(manifest.step) + " here and of another on another rank");
  });
  return std::move(*reader);
}

/// Paths of the committed steps, as rank 0 sees them.
std::vector<std::string> newest_first(const CheckpointFolder& folder, Communicator& control) {
  std::string lines;
  collectively(control, [&] {
    if (control.rank() != 0) return;
    const std::vector<SavedStep> steps = folder.steps();
    for (auto saved = steps.rbegin(); saved != steps.rend(); ++saved) {
      if (saved->committed) lines.append(saved->path.string()).append("\n");
    }
  });
  std::istringstream text(broadcast_text(control, std::move(lines), 0));
  std::vector<std::string> paths;
  for (std::string line; std::getline(text, line);) paths.push_back(line);
  return paths;
}

/// Whether the same plan would be asked for; how often it is looked at does not matter.
bool places_alike(PlacementConfig one, const PlacementConfig& other) {
  one.every = other.every;
  RunConfig first, second;
  first.placement = one;
  second.placement = other;
  return resolved_yaml(first) == resolved_yaml(second);
}

Plan saved_plan(const RunConfig& config, const CheckpointState& state, const ExpertGroups& groups) {
  Plan plan = read_plan(state.plan);
  const std::vector<std::vector<std::int64_t>> widths(
      static_cast<std::size_t>(config.model.num_layers), expert_widths(config.model.experts));
  validate_placement(plan.placement, widths, groups.size);
  return plan;
}

}  // namespace

ResumePoint find_newest(const CheckpointFolder& folder, Communicator& control) {
  ResumePoint point;
  for (const std::string& path : newest_first(folder, control)) {
    try {
      point.checkpoint.emplace(open_verified(path, control));
      return point;
    } catch (const AgreedError& error) {
      point.passed_over.emplace_back(error.what());
    }
  }
  if (!point.passed_over.empty()) {
    throw AgreedError(ExitCode::kStorage, "no checkpoint in '" + folder.path().string() +
                                              "' can be used: " + point.passed_over.front());
  }
  return point;
}

ResumePoint open_named(const std::string& path, Communicator& control) {
  std::string resolved;
  collectively(control, [&] {
    if (control.rank() == 0) resolved = resolve_checkpoint(path).string();
  });
  resolved = broadcast_text(control, std::move(resolved), 0);
  ResumePoint point;
  point.checkpoint.emplace(open_verified(resolved, control));
  return point;
}

RunConfig resumed_config(RunConfig config, const CheckpointReader& checkpoint) {
  const RunConfig saved =
      parse_run_config(checkpoint.manifest().state.config, checkpoint.path().string(), {});
  if (config.train.precision == Precision::kAuto) config.train.precision = saved.train.precision;
  std::ostringstream faults;
  const char* separator = "";
  for (const ConfigDifference& difference : forbidden_differences(saved, config)) {
    faults << std::exchange(separator, "\n") << difference.text();
  }
  if (!faults.str().empty()) throw ConfigError(faults.str());
  return config;
}

Plan resumed_plan(const RunConfig& config, const Manifest& manifest, const ExpertGroups& groups,
                  Communicator& control) {
  const CheckpointState& state = manifest.state;
  if (state.ranks == groups.ranks() && state.expert_group_size == groups.size &&
      places_alike(config.placement, parse_run_config(state.config, "checkpoint", {}).placement)) {
    Plan plan;
    collectively(control, [&] { plan = saved_plan(config, state, groups); });
    return plan;
  }
  return make_initial_plan(config, groups, control, state.loads);
}

}  // namespace hetmoe
