#include "runtime/report/checkpoint_text.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "parallel/placement/plan_json.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

std::string plural(std::size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

bool is_moment(const std::string& tensor) {
  return tensor.starts_with(kFirstMoment) || tensor.starts_with(kSecondMoment);
}

/// "of all", "of none", "of 3": parameters that both moments are there for.
std::string moments_text(const Manifest& manifest) {
  std::size_t all = 0, with_moments = 0;
  for (const auto& [name, tensor] : manifest.tensors) {
    if (is_moment(name)) continue;
    ++all;
    if (manifest.tensors.contains(std::string(kFirstMoment) + name) &&
        manifest.tensors.contains(std::string(kSecondMoment) + name)) {
      ++with_moments;
    }
  }
  if (with_moments == all) return "of all";
  return with_moments == 0 ? "of none" : "of " + std::to_string(with_moments);
}

std::string placement_text(const std::string& json) {
  Placement placement;
  try {
    placement = read_plan(json).placement;
  } catch (const Error& error) {
    return std::string("cannot be read: ") + error.what();
  }
  std::size_t slices = 0, cut = 0;
  std::set<int> ranks;
  for (const LayerPlacement& layer : placement.layers) {
    std::map<int, std::set<std::int64_t>> begins;
    for (const PlacedSlice& slice : layer.slices) {
      begins[slice.expert].insert(slice.begin);
      ranks.insert(slice.rank);
    }
    slices += layer.slices.size();
    cut += static_cast<std::size_t>(std::count_if(
        begins.begin(), begins.end(), [](const auto& expert) { return expert.second.size() > 1; }));
  }
  return plural(slices, "slice") + " in " + plural(placement.layers.size(), "layer") + " on " +
         plural(ranks.size(), "rank") + ", " + plural(cut, "expert") + " cut";
}

std::map<std::string, std::size_t> parts_of_files(const Manifest& manifest) {
  std::map<std::string, std::size_t> parts;
  for (const auto& [name, tensor] : manifest.tensors) {
    for (const TensorPart& part : tensor.parts) ++parts[part.file];
  }
  return parts;
}

std::string tensor_lines(const Manifest& manifest) {
  std::size_t width = 6;
  for (const auto& [name, tensor] : manifest.tensors) width = std::max(width, name.size());
  std::string text = "\n" + left_aligned("tensor", width) + "       rows  columns  rows in files\n";
  for (const auto& [name, tensor] : manifest.tensors) {
    text += left_aligned(name, width) + right_aligned(std::to_string(tensor.rows()), 11) +
            right_aligned(std::to_string(tensor.columns()), 9) + " ";
    for (const TensorPart& part : tensor.parts) {
      text += " " + std::to_string(part.row_begin) + ":" + std::to_string(part.row_end) + " " +
              part.file;
    }
    text += "\n";
  }
  return text;
}

}  // namespace

std::int64_t parameters_of(const Manifest& manifest) {
  std::int64_t parameters = 0;
  for (const auto& [name, tensor] : manifest.tensors) {
    if (!is_moment(name)) parameters += tensor.rows() * tensor.columns();
  }
  return parameters;
}

std::string checkpoint_list_text(std::span<const ListedCheckpoint> checkpoints) {
  if (checkpoints.empty()) return "no checkpoint\n";
  std::string text = "      step  saved                          tokens       size  files  ranks\n";
  for (const ListedCheckpoint& checkpoint : checkpoints) {
    text += right_aligned(checkpoint.step ? std::to_string(*checkpoint.step) : "?", 10) + "  ";
    if (!checkpoint.committed) {
      text += "not committed, " + bytes_text(checkpoint.bytes) + ": " + checkpoint.fault + "\n";
    } else if (!checkpoint.fault.empty()) {
      text += "damaged, " + bytes_text(checkpoint.bytes) + ": " + checkpoint.fault + "\n";
    } else {
      text += left_aligned(checkpoint.saved, 24) +
              right_aligned(count_text(static_cast<double>(checkpoint.tokens)), 13) +
              right_aligned(bytes_text(checkpoint.bytes), 11) +
              right_aligned(std::to_string(checkpoint.files), 7) +
              right_aligned(std::to_string(checkpoint.ranks), 7) + "\n";
    }
  }
  return text;
}

std::string checkpoint_verification_text(std::span<const VerifiedCheckpoint> checkpoints,
                                         std::size_t unfinished) {
  std::string text;
  for (const VerifiedCheckpoint& checkpoint : checkpoints) {
    text += checkpoint.path + ": ";
    text += checkpoint.faults.empty() ? "whole, " : "DAMAGED, ";
    text += plural(checkpoint.files, "file") + ", " + bytes_text(checkpoint.bytes) + "\n";
    for (const std::string& fault : checkpoint.faults) text += "  " + fault + "\n";
  }
  if (unfinished > 0) text += plural(unfinished, "unfinished step") + " left out\n";
  return text;
}

std::string checkpoint_text(const Manifest& manifest, const ListedCheckpoint& checkpoint,
                            bool with_tensors) {
  const CheckpointState& state = manifest.state;
  std::string text = "checkpoint   " + checkpoint.path + "\n";
  text += "saved        " + checkpoint.saved + ", generation " +
          std::to_string(manifest.generation) + ", by " +
          plural(static_cast<std::size_t>(state.ranks), "rank") + " in expert groups of " +
          std::to_string(state.expert_group_size) + "\n";
  text += "progress     step " + std::to_string(manifest.step) + ", " +
          count_text(static_cast<double>(manifest.tokens)) + " tokens, " +
          std::to_string(state.optimizer_updates) + " optimizer updates, " +
          std::to_string(state.skipped_steps) + " skipped\n";
  const auto moments = std::count_if(manifest.tensors.begin(), manifest.tensors.end(),
                                     [](const auto& tensor) { return is_moment(tensor.first); });
  text += "parameters   " + count_text(static_cast<double>(parameters_of(manifest))) + " in " +
          plural(manifest.tensors.size() - static_cast<std::size_t>(moments), "tensor") +
          ", moments " + moments_text(manifest) + "\n";
  text += "placement    " + placement_text(state.plan) + "\n";
  text += "sampler      seed " + std::to_string(state.sampler_seed) + "\n";
  text += "files        " + std::to_string(manifest.files.size()) + ", " +
          bytes_text(checkpoint.bytes) + " with " + kManifestName + "\n";
  const auto parts = parts_of_files(manifest);
  for (const CheckpointFile& file : manifest.files) {
    const auto found = parts.find(file.name);
    text += "  " + left_aligned(file.name, 28) + right_aligned(bytes_text(file.bytes), 11) +
            right_aligned(std::to_string(found == parts.end() ? 0 : found->second), 7) +
            " parts  " + file.digest + "\n";
  }
  return with_tensors ? text + tensor_lines(manifest) : text;
}

}  // namespace hetmoe
