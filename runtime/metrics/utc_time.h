#pragma once

#include <string>

namespace hetmoe {

/// "2026-11-22T04:10:17.250Z" for seconds since 1970-01-01 UTC. Milliseconds are cut, not rounded.
std::string iso8601_utc(double wall_seconds);

/// "20261122-041017": the same in a form that suits a file name.
std::string compact_utc(double wall_seconds);

}  // namespace hetmoe
