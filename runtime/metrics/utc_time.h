#pragma once

#include <optional>
#include <string>

namespace hetmoe {

/// "2026-11-22T04:10:17.250Z" for seconds since 1970-01-01 UTC. Milliseconds are cut, not rounded.
std::string iso8601_utc(double wall_seconds);

/// "20261122-041017": the same in a form that suits a file name.
std::string compact_utc(double wall_seconds);

/// Seconds since 1970 of what iso8601_utc has written; nothing for any other text.
std::optional<double> seconds_of_iso8601(const std::string& text);

}  // namespace hetmoe
