#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "parallel/placement/plan_json.h"
#include "runtime/report/story/story_parts.h"

namespace hetmoe {
namespace {

constexpr std::uintmax_t kLargestPlanBytes = std::uintmax_t{64} << 20;
constexpr int kMostRanks = 1 << 14,
              kMostExperts = 1024;  // those of hetmoe simulate, and of a model

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A placement that can be drawn; whether it fits a model is not asked.
bool is_drawable(const Placement& placement) {
  for (const LayerPlacement& layer : placement.layers) {
    for (const PlacedSlice& slice : layer.slices) {
      if (slice.rank < 0 || slice.rank >= kMostRanks) return false;
      if (slice.expert < 0 || slice.expert >= kMostExperts) return false;
      if (slice.begin < 0 || slice.end < slice.begin) return false;
    }
  }
  return !placement.layers.empty();
}

/// Rows of each expert of the first layer: all layers have the same widths.
std::vector<std::int64_t> widths_of(const Placement& placement) {
  std::vector<std::int64_t> widths;
  for (const PlacedSlice& slice : placement.layers.front().slices) {
    const auto expert = static_cast<std::size_t>(slice.expert);
    if (expert >= widths.size()) widths.resize(expert + 1);
    widths[expert] = std::max(widths[expert], slice.end);
  }
  return widths;
}

}  // namespace

void add_plan(RunStory& story, const RunDirectory& directory) {
  std::error_code failure;
  if (!std::filesystem::is_regular_file(directory.plan_file(), failure)) {
    story.passed_over.emplace_back("plan.json: is not there");
    return;
  }
  const std::uintmax_t bytes = std::filesystem::file_size(directory.plan_file(), failure);
  if (failure || bytes > kLargestPlanBytes) {
    story.passed_over.emplace_back("plan.json: cannot be read, or has more than 64 MiB");
    return;
  }
  try {
    Plan plan = read_plan(text_of(directory.plan_file()));
    if (!is_drawable(plan.placement)) {
      story.passed_over.emplace_back("plan.json: ranks, experts or rows beyond what is allowed");
      return;
    }
    if (story.widths.empty()) story.widths = widths_of(plan.placement);
    story.plan = std::move(plan);
  } catch (const Error& error) {
    const std::string message = error.what();
    story.passed_over.push_back("plan.json: " + message.substr(0, message.find('\n')));
  }
}

}  // namespace hetmoe
