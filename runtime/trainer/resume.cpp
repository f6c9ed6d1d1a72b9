#include "runtime/trainer/resume.h"

#include <array>
#include <functional>
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

/// Runs `work` on every rank. Gives what is damaged, as the ranks that found it say, the lowest
/// first; empty: nothing. Collective. Errors: AgreedError for all else, above all for what could
/// not be read: it may be whole.
std::vector<std::string> damage_found(Communicator& control, const std::function<void()>& work) {
  std::string own;
  collectively(control, [&] {
    try {
      work();
    } catch (const UnreadableError& error) {
      throw UnreadableError(
          std::string(error.what()) +
          "; that says nothing of the checkpoint: try again, or --resume another");
    } catch (const StorageError& error) {
      own = error.what();
    }
  });
  std::vector<std::string> found;
  for (const std::string& text : gather_texts(control, own)) {
    if (!text.empty()) found.push_back(text);
  }
  return found;
}

/// What is the same for every rank. Gives what is damaged.
std::string open_everywhere(const std::filesystem::path& path, Communicator& control,
                            std::optional<CheckpointReader>& reader) {
  const std::vector<std::string> found = damage_found(control, [&] { reader.emplace(path); });
  if (found.empty()) return {};
  collectively(control, [&] {
    if (std::cmp_equal(found.size(), control.size())) return;
    throw StorageError(found.front() +
                       "; other ranks see it whole: the folder is not the same on "
                       "every host, or not yet");
  });
  return found.front();
}

/// Every rank reads each n-th file of the checkpoint.
std::string verify_shared(const CheckpointReader& reader, Communicator& control) {
  const std::vector<std::string> found = damage_found(control, [&] {
    const std::size_t files = reader.manifest().files.size();
    for (std::size_t i = static_cast<std::size_t>(control.rank()); i < files;
         i += static_cast<std::size_t>(control.size())) {
      reader.verify_file(i);
    }
  });
  return found.empty() ? "" : found.front();
}

/// A checkpoint open on every rank, or what is damaged in it; the same on every rank.
struct Opened {
  std::optional<CheckpointReader> reader;
  std::string damage;
};

/// Collective. Errors: AgreedError when it cannot be told whether it is damaged.
Opened open_verified(const std::filesystem::path& path, Communicator& control) {
  Opened opened;
  std::optional<CheckpointReader>& reader = opened.reader;
  opened.damage = open_everywhere(path, control, reader);
  if (!opened.damage.empty()) return opened;
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
  opened.damage = verify_shared(*reader, control);
  return opened;
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
    Opened opened = open_verified(path, control);
    if (opened.damage.empty()) {
      point.checkpoint.emplace(std::move(*opened.reader));
      return point;
    }
    point.passed_over.push_back(std::move(opened.damage));
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
  Opened opened = open_verified(resolved, control);
  collectively(control, [&] {
    if (!opened.damage.empty()) throw StorageError(opened.damage);
  });
  return {.checkpoint = std::move(opened.reader), .passed_over = {}};
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
