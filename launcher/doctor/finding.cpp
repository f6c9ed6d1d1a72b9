#include "launcher/doctor/finding.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/report/quantity_text.h"
#include "runtime/report/rank_table.h"

namespace hetmoe {
namespace {

constexpr std::size_t kLongestClause = 400;

std::string name_of(Severity severity) {
  switch (severity) {
    case Severity::kOk:
      return "ok";
    case Severity::kWarning:
      return "warning";
    case Severity::kWrong:
      break;
  }
  return "wrong";
}

std::size_t count(const Findings& findings, Severity severity) {
  return static_cast<std::size_t>(
      std::count_if(findings.begin(), findings.end(),
                    [&](const Finding& finding) { return finding.severity == severity; }));
}

std::string counted(std::size_t number, const std::string& name) {
  return std::to_string(number) + " " + name + (number == 1 ? "" : "s");
}

}  // namespace

std::string findings_text(const Findings& findings) {
  constexpr std::size_t kVerdictColumns = 9;
  std::size_t check_columns = 0;
  for (const Finding& finding : findings)
    check_columns = std::max(check_columns, finding.check.size() + 2);
  std::string text;
  for (const Finding& finding : findings) {
    text += left_aligned(name_of(finding.severity), kVerdictColumns) +
            left_aligned(finding.check, check_columns) + plain_text(finding.found, kLongestClause) +
            "\n";
    if (!finding.advice.empty())
      text += std::string(kVerdictColumns + check_columns, ' ') + "-> " +
              plain_text(finding.advice, kLongestClause) + "\n";
  }
  return text + counted(findings.size(), "check") + ", " +
         counted(count(findings, Severity::kWarning), "warning") + ", " +
         std::to_string(count(findings, Severity::kWrong)) + " wrong\n";
}

std::string findings_json(const Findings& findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"check", finding.check},
                    {"verdict", name_of(finding.severity)},
                    {"found", finding.found},
                    {"advice", finding.advice}});
  }
  const nlohmann::ordered_json document = {{"checks", std::move(list)},
                                           {"warnings", count(findings, Severity::kWarning)},
                                           {"wrong", count(findings, Severity::kWrong)}};
  // What other programs print need not be UTF-8.
  return document.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

int exit_code_of(const Findings& findings) {
  const auto found = std::find_if(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.severity == Severity::kWrong;
  });
  return found == findings.end() ? 0 : static_cast<int>(found->code);
}

}  // namespace hetmoe
