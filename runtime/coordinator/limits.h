#pragma once

#include <cstddef>
#include <cstdint>

namespace hetmoe::coordinator_limits {

// What a message may hold; beyond it, it is refused.
inline constexpr int kRanks = 65'536;
inline constexpr std::size_t kNameBytes = 255;      ///< run, host, address, file, phase, operation
inline constexpr std::size_t kFilesOfShard = 16;    ///< a rank writes one, today
inline constexpr std::size_t kOpenCommands = 64;    ///< accepted and not executed
inline constexpr std::size_t kListedCommands = 16;  ///< in a status
inline constexpr std::size_t kExperts = 65'536;
inline constexpr std::size_t kLayers = 4096;
inline constexpr std::int64_t kSteps = 1'000'000'000'000;
inline constexpr int kMessageBytes = 1 << 20;  ///< to the coordinator
inline constexpr int kStatusBytes = 32 << 20;  ///< from it: 65,536 ranks
inline constexpr int kWatchers = 16;           ///< streams at once

// Time, in seconds.
inline constexpr double kCallSeconds = 5;     ///< deadline of a call
inline constexpr double kSilentSeconds = 15;  ///< without a sign of life
inline constexpr double kAwaySeconds = 60;    ///< then ranks commit without it

}  // namespace hetmoe::coordinator_limits
