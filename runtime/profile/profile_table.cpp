#include <cstdio>
#include <string>

#include "runtime/profile/step_profile.h"

namespace hetmoe {
namespace {

template <typename... Arguments>
std::string formatted(const char* format, Arguments... arguments) {
  std::string text(static_cast<std::size_t>(std::snprintf(nullptr, 0, format, arguments...)) + 1,
                   '\0');
  std::snprintf(text.data(), text.size(), format, arguments...);
  text.pop_back();
  return text;
}

/// A number, or a dash where there is none.
std::string rate(double amount, double seconds, double unit) {
  return amount > 0 && seconds > 0 ? formatted("%.1f", amount / seconds / unit) : "-";
}

std::string row(const ProfileLine& line, const std::string& phase, const StepProfile& profile,
                const Roofline& roofline) {
  const double share = line.share_of_roofline(roofline);
  return formatted("%-10s %-18s %5.0f %9.2f %6.1f %% %8s %7s %8s %9.2f\n", phase.c_str(),
                   line.operation.c_str(), line.calls, 1e3 * line.seconds,
                   100 * line.seconds / profile.step_seconds,
                   rate(line.work.flops, line.seconds, 1e9).c_str(),
                   rate(line.work.bytes, line.seconds, 1e9).c_str(),
                   share > 0 ? formatted("%.1f %%", 100 * share).c_str() : "-",
                   1e3 * line.seconds_over_peak(roofline));
}

std::string heading(const StepProfile& profile, const ProfileSubject& subject,
                    const Roofline& roofline) {
  const double rank_rate = subject.model_flops / subject.ranks / profile.step_seconds;
  std::string text =
      formatted("profile of steps %lld to %lld, rank %d of %d, %s, %d thread%s\n",
                static_cast<long long>(profile.first_step),
                static_cast<long long>(profile.last_step), subject.rank, subject.ranks,
                subject.precision.c_str(), subject.threads, subject.threads == 1 ? "" : "s");
  text +=
      formatted("%.2f ms a step, %.1f tokens/s on all ranks; on each %.1f model GFLOP/s,\n",
                1e3 * profile.step_seconds, subject.tokens / profile.step_seconds, rank_rate / 1e9);
  text += formatted(
      "%.1f %% of a product of 2048 x 1024 x 2048 (%.1f GFLOP/s); a copy moves %.1f GB/s\n\n",
      100 * rank_rate / roofline.flops_per_second, roofline.flops_per_second / 1e9,
      roofline.bytes_per_second / 1e9);
  return text + formatted("%-10s %-18s %5s %9s %8s %8s %7s %8s %9s\n", "phase", "operation",
                          "calls", "ms", "of step", "GFLOP/s", "GB/s", "of bound", "ms lost");
}

constexpr const char* kLegend =
    "\nof bound: the time that its operations at the product's rate or its bytes at the copy's\n"
    "would take, the longer of them; ms lost: beyond its operations at the product's rate.\n";

}  // namespace

std::string profile_table(const StepProfile& profile, const ProfileSubject& subject,
                          const Roofline& roofline) {
  std::string text = heading(profile, subject, roofline);
  double lost = 0;
  std::string last_phase;
  for (const ProfileLine& line : profile.lines) {
    text += row(line, line.phase == last_phase ? "" : line.phase, profile, roofline);
    last_phase = line.phase;
    lost += line.seconds_over_peak(roofline);
  }
  return text +
         formatted("%-10s %-18s %5s %9.2f %34s %9.2f\n", "all", "", "", 1e3 * profile.step_seconds,
                   "", 1e3 * lost) +
         kLegend;
}

}  // namespace hetmoe
