#include "launcher/token_lists.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr std::size_t kShownBytes = 40;

[[noreturn]] void fail(const std::string& place, const nlohmann::json& found) {
  const std::string text =
      found.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(0, kShownBytes);
  throw ConfigError("--tokens: " + place + text +
                    ", allowed: lists of token ids such as [[1, 2, 3], [4, 5]]");
}

std::int32_t token_of(const nlohmann::json& value, const std::string& place) {
  constexpr std::uint64_t kLargest = std::numeric_limits<std::int32_t>::max();
  // Negative numbers are not unsigned.
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > kLargest) fail(place, value);
  return value.get<std::int32_t>();
}

}  // namespace

std::vector<std::vector<std::int32_t>> parse_token_lists(const std::string& json) {
  const nlohmann::json lists = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (lists.is_discarded()) {
    throw ConfigError(
        "--tokens: not JSON, allowed: lists of token ids such as [[1, 2, 3], [4, 5]]");
  }
  if (!lists.is_array() || lists.empty()) fail("", lists);
  std::vector<std::vector<std::int32_t>> sequences;
  for (const nlohmann::json& list : lists) {
    const std::string place = "sequence " + std::to_string(sequences.size()) + ": ";
    if (!list.is_array()) fail(place, list);
    std::vector<std::int32_t>& tokens = sequences.emplace_back();
    for (const nlohmann::json& value : list) tokens.push_back(token_of(value, place + "token "));
  }
  return sequences;
}

}  // namespace hetmoe
