#include "runtime/report/story/json_line.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kLargestNumber = 1e100;
constexpr std::int64_t kLargestInteger = 1'000'000'000'000'000;
constexpr std::size_t kLongestDetails = 400;
constexpr std::size_t kMostColumns = 4096;

double number_of(const Json& value) {
  if (!value.is_number()) return std::numeric_limits<double>::quiet_NaN();
  const auto number = value.get<double>();
  return std::abs(number) <= kLargestNumber ? number : std::numeric_limits<double>::quiet_NaN();
}

const Json* member(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

bool is_plain_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 &&
         std::all_of(name.begin(), name.end(), [](unsigned char letter) {
           return std::isalnum(letter) != 0 || letter == '_';
         });
}

using Flat = std::vector<std::pair<std::string, std::string>>;

void add_value(Flat& flat, const std::string& name, const Json& value) {
  if (flat.size() >= kMostColumns) return;
  if (value.is_boolean()) flat.emplace_back(name, value.get<bool>() ? "1" : "0");
  if (value.is_number()) flat.emplace_back(name, value.dump());
}

/// Two levels are all that the contract has.
void add_members(Flat& flat, const std::string& name, const Json& value) {
  if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i)
      add_value(flat, name + "." + std::to_string(i), value[i]);
  } else if (value.is_object()) {
    for (const auto& [key, part] : value.items()) {
      if (is_plain_name(key)) add_value(flat, name + "." + key, part);
    }
  } else {
    add_value(flat, name, value);
  }
}

}  // namespace

struct JsonLine::Content {
  Json json;
};

std::optional<JsonLine> JsonLine::parse(std::string_view text) {
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  JsonLine line;
  line.content_ = std::make_shared<const Content>(Content{std::move(json)});
  return line;
}

bool JsonLine::has(const char* name) const { return member(content_->json, name) != nullptr; }

double JsonLine::number(const char* name) const {
  const Json* value = member(content_->json, name);
  return value ? number_of(*value) : std::numeric_limits<double>::quiet_NaN();
}

double JsonLine::number(const char* section, const char* name) const {
  const Json* inner = member(content_->json, section);
  const Json* value = inner ? member(*inner, name) : nullptr;
  return value ? number_of(*value) : std::numeric_limits<double>::quiet_NaN();
}

std::int64_t JsonLine::integer(const char* name, std::int64_t fallback) const {
  const Json* value = member(content_->json, name);
  if (!value || !value->is_number_integer()) return fallback;
  if (value->is_number_unsigned() &&
      value->get<std::uint64_t>() > static_cast<std::uint64_t>(kLargestInteger))
    return fallback;
  const auto integer = value->get<std::int64_t>();
  return integer >= 0 && integer <= kLargestInteger ? integer : fallback;
}

std::string JsonLine::text(const char* name) const {
  const Json* value = member(content_->json, name);
  return value && value->is_string() ? value->get<std::string>() : "";
}

std::vector<double> JsonLine::numbers(const char* name, std::size_t most) const {
  const Json* value = member(content_->json, name);
  if (!value || !value->is_array() || value->size() > most) return {};
  std::vector<double> numbers;
  for (const Json& element : *value) numbers.push_back(number_of(element));
  const bool whole = std::none_of(numbers.begin(), numbers.end(),
                                  [](double number) { return std::isnan(number); });
  return whole ? numbers : std::vector<double>{};
}

std::string JsonLine::details() const {
  constexpr std::array kFixed = {"time", "generation", "step", "rank", "event"};
  std::string details;
  for (const auto& [key, value] : content_->json.items()) {
    if (std::find(kFixed.begin(), kFixed.end(), key) != kFixed.end()) continue;
    const std::string shown = value.is_string()
                                  ? value.get<std::string>()
                                  : value.dump(-1, ' ', false, Json::error_handler_t::replace);
    if (!shown.empty()) details += (details.empty() ? "" : "; ") + key + " " + shown;
    if (details.size() > kLongestDetails) return details.substr(0, kLongestDetails) + " ...";
  }
  return details;
}

std::vector<std::pair<std::string, std::string>> JsonLine::flat_numbers() const {
  Flat flat;
  for (const auto& [key, value] : content_->json.items()) {
    if (is_plain_name(key)) add_members(flat, key, value);
  }
  return flat;
}

}  // namespace hetmoe
