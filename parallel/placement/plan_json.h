#pragma once

#include <string>
#include <string_view>

#include "parallel/placement/planner.h"

namespace hetmoe {

/// Reading is strict: unknown or repeated keys, wrong types, numbers out of range, oversized or
/// deeply nested texts end in a one-line ConfigError that holds the JSON pointer of the fault.

/// The contract's planner problem, validated. `current`, when present, is a plan; `cluster` has the
/// keys of a cluster file, and its faults are a line each.
PlanProblem read_problem(std::string_view json);

/// The contract's plan. Its placement must still be validated against the model
/// (validate_placement): a plan file does not say how wide the experts are.
Plan read_plan(std::string_view json);

/// One line of JSON, keys in the contract's order, ended by a line feed.
std::string write_plan(const Plan& plan);

/// "xxh3-128:<hex>" of the placement, for ranks to agree on: equal placements, equal digests.
std::string digest_of(const Placement& placement);

}  // namespace hetmoe
