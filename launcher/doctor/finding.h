#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"

namespace hetmoe {

enum class Severity { kOk, kWarning, kWrong };

/// What one look at this machine found.
struct Finding {
  std::string check;  ///< what was looked at: "MPI", "ports"
  Severity severity = Severity::kOk;
  std::string found;                ///< one clause, for people
  std::string advice;               ///< what to do; empty when it is ok
  ExitCode code = ExitCode::kDone;  ///< of a wrong one: what a run would end with
};
using Findings = std::vector<Finding>;

inline Finding ok(std::string check, std::string found) {
  return {std::move(check), Severity::kOk, std::move(found), "", ExitCode::kDone};
}
inline Finding warning(std::string check, std::string found, std::string advice) {
  return {std::move(check), Severity::kWarning, std::move(found), std::move(advice),
          ExitCode::kDone};
}
inline Finding wrong(std::string check, std::string found, std::string advice, ExitCode code) {
  return {std::move(check), Severity::kWrong, std::move(found), std::move(advice), code};
}

/// A line per finding with its severity, and below it what to do. ASCII.
std::string findings_text(const Findings& findings);
/// One JSON document, a newline at the end.
std::string findings_json(const Findings& findings);
/// The code of the first wrong one, else 0.
int exit_code_of(const Findings& findings);

}  // namespace hetmoe
