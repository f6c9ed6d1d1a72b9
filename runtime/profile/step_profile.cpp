#include "runtime/profile/step_profile.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include "core/base/check.h"

namespace hetmoe {
namespace {

constexpr const char* kNotTold = "(not told)";

/// Lines of phases in the order of their first occurrence, whose entries are sums.
class Sums {
 public:
  void add(const std::string& phase, const std::string& operation, double seconds, Work work) {
    if (!position_.contains(phase)) position_.emplace(phase, position_.size());
    ProfileLine& line = lines_[{position_[phase], operation}];
    line.phase = phase;
    line.operation = operation;
    line.calls += 1;
    line.seconds += seconds;
    line.work.flops += work.flops;
    line.work.bytes += work.bytes;
  }

  /// Per step; in each phase the longest first.
  std::vector<ProfileLine> means(double steps) const {
    std::vector<std::pair<std::size_t, ProfileLine>> placed;
    for (const auto& [key, line] : lines_) placed.emplace_back(key.first, line);
    std::ranges::sort(placed, [](const auto& a, const auto& b) {
      return std::pair(a.first, -a.second.seconds) < std::pair(b.first, -b.second.seconds);
    });
    std::vector<ProfileLine> means;
    for (auto& [position, line] : placed) {
      line.calls /= steps;
      line.seconds /= steps;
      line.work.flops /= steps;
      line.work.bytes /= steps;
      means.push_back(std::move(line));
    }
    return means;
  }

 private:
  std::map<std::string, std::size_t> position_;
  std::map<std::pair<std::size_t, std::string>, ProfileLine> lines_;
};

/// What is within a recomputation is told apart from the same operation of the pass it is in.
class Names {
 public:
  /// Of a phase's scopes, in their order.
  std::string next(const RecordedScope& scope) {
    if (scope.depth <= recomputation_depth_) recomputation_depth_ = kNone;
    if (recomputation_depth_ != kNone) return std::string("again: ") + scope.name;
    if (std::string_view(scope.name) == kRecomputation) recomputation_depth_ = scope.depth;
    return scope.name;
  }

 private:
  static constexpr int kNone = std::numeric_limits<int>::max();
  int recomputation_depth_ = kNone;
};

void add_phase(const RecordedPhase& phase, Sums& sums) {
  double told = 0;
  Names names;
  for (const RecordedScope& scope : phase.scopes) {
    sums.add(phase.name, names.next(scope), scope.own_seconds(), scope.work);
    told += scope.own_seconds();
  }
  sums.add(phase.name, kNotTold, phase.end - phase.begin - told, {});
}

}  // namespace

double ProfileLine::seconds_over_peak(const Roofline& roofline) const {
  return seconds - work.flops / roofline.flops_per_second;
}

double ProfileLine::share_of_roofline(const Roofline& roofline) const {
  const double bound =
      std::max(work.flops / roofline.flops_per_second, work.bytes / roofline.bytes_per_second);
  return seconds > 0 ? bound / seconds : 0;
}

StepProfile profile_of(const std::vector<RecordedStep>& recorded) {
  HETMOE_CHECK(!recorded.empty(), "a profile of no step");
  Sums sums;
  StepProfile profile{.first_step = recorded.front().step,
                      .last_step = recorded.back().step,
                      .step_seconds = 0,
                      .lines = {}};
  for (const RecordedStep& step : recorded) {
    double in_phases = 0;
    for (const RecordedPhase& phase : step.phases) {
      add_phase(phase, sums);
      in_phases += phase.end - phase.begin;
    }
    profile.step_seconds += step.end - step.begin;
    sums.add("between", kNotTold, step.end - step.begin - in_phases, {});
  }
  const auto steps = static_cast<double>(recorded.size());
  profile.step_seconds /= steps;
  profile.lines = sums.means(steps);
  return profile;
}

}  // namespace hetmoe
