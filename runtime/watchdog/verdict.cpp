#include "runtime/watchdog/verdict.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace hetmoe {
namespace {

constexpr std::size_t kNamedRanks = 8;

/// How sure it is that who misses a collective is the cause and waits for nobody else.
enum class Cause { kUnknown, kWaitsItself, kComputes, kSilent };

struct Suspicion {
  Cause cause = Cause::kUnknown;
  std::vector<int> behind;
};

const CollectiveLog::CommunicatorState* communicator_of(const RankReport& report,
                                                        const std::string& name) {
  const auto found =
      std::ranges::find(report.communicators, name, &CollectiveLog::CommunicatorState::name);
  return found == report.communicators.end() ? nullptr : &*found;
}

Suspicion suspect(const ReportedWait& wait, const std::vector<RankReport>& reports) {
  std::vector<int> computing;
  std::vector<int> waiting;
  int size = 0;
  int reported = 0;
  for (const RankReport& report : reports) {
    const auto* state = communicator_of(report, wait.communicator);
    if (state == nullptr) continue;
    size = state->size;
    ++reported;
    if (state->started >= wait.sequence) continue;
    (report.wait ? waiting : computing).push_back(report.identity.rank);
  }
  if (reported < size) return {Cause::kSilent, computing};
  if (!computing.empty()) return {Cause::kComputes, computing};
  return {waiting.empty() ? Cause::kUnknown : Cause::kWaitsItself, waiting};
}

std::string seconds_text(double seconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f s", seconds);
  return text.data();
}

std::string behind_text(const Verdict& verdict, const std::vector<RankReport>& reports) {
  if (verdict.behind.size() != 1) return ranks_text(verdict.behind);
  const int rank = verdict.behind.front();
  const auto report =
      std::ranges::find(reports, rank, [](const RankReport& one) { return one.identity.rank; });
  if (report == reports.end()) return ranks_text(verdict.behind);
  return ranks_text(verdict.behind) +
         (report->wait ? " (waits for " + collective_text(*report->wait) + ")"
                       : " (in no collective for " + seconds_text(report->idle_seconds) + ")");
}

}  // namespace

Verdict find_verdict(const std::vector<RankReport>& reports, int size) {
  Verdict verdict;
  std::vector<bool> has_reported(static_cast<std::size_t>(size), false);
  Cause cause = Cause::kUnknown;
  for (const RankReport& report : reports) {
    has_reported.at(static_cast<std::size_t>(report.identity.rank)) = true;
    if (!report.wait) continue;
    Suspicion suspicion = suspect(*report.wait, reports);
    const bool longer = report.wait->waited_seconds > verdict.wait.waited_seconds;
    const bool better = suspicion.cause > cause || (suspicion.cause == cause && longer);
    if (!verdict.wait.operation.empty() && !better) continue;
    verdict.wait = *report.wait;
    verdict.behind = std::move(suspicion.behind);
    cause = suspicion.cause;
  }
  for (int rank = 0; rank < size; ++rank) {
    if (!has_reported[static_cast<std::size_t>(rank)]) verdict.silent.push_back(rank);
  }
  return verdict;
}

std::string verdict_text(const Verdict& verdict, const std::vector<RankReport>& reports) {
  std::string text = verdict.wait.operation.empty()
                         ? "no rank that reported waits any more"
                         : collective_text(verdict.wait) + " was waited for " +
                               seconds_text(verdict.wait.waited_seconds);
  if (!verdict.silent.empty()) text += "; no sign of life from " + ranks_text(verdict.silent);
  if (!verdict.behind.empty()) text += "; not there: " + behind_text(verdict, reports);
  const bool is_known = !verdict.wait.operation.empty();
  if (is_known && verdict.silent.empty() && verdict.behind.empty())
    text += "; every rank has come to it";
  return text;
}

std::string ranks_text(const std::vector<int>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < std::min(ranks.size(), kNamedRanks); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(ranks[i]);
  if (ranks.size() > kNamedRanks) text += ", ... (" + std::to_string(ranks.size()) + " in all)";
  return text;
}

std::string collective_text(const ReportedWait& wait) {
  return wait.operation + " number " + std::to_string(wait.sequence) + " on " + wait.communicator +
         (wait.step > 0 ? " in step " + std::to_string(wait.step) : " before the first step");
}

}  // namespace hetmoe
