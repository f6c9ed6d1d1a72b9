#include "launcher/hostfile.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <limits>
#include <optional>
#include <regex>
#include <sstream>

#include "core/base/error.h"

namespace hetmoe {
namespace {

constexpr int kMostSlots = 65536;
constexpr std::string_view kSlots = "slots=";
constexpr std::string_view kMaxSlots = "max_slots=";

/// It becomes a word of ssh and of `--host`: no option, and no colon or comma in it.
bool is_host_name(std::string_view name) {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  return !name.starts_with('-') && name.find_first_not_of(kLetters) == std::string_view::npos;
}

std::optional<int> slots_in(std::string_view digits) {
  int slots = 0;
  const char* end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, slots);
  if (error != std::errc() || stopped != end || slots < 1 || slots > kMostSlots) {
    return std::nullopt;
  }
  return slots;
}

std::optional<Host> parse_line(const std::string& line) {
  std::istringstream words(line);
  Host host;
  words >> host.name;
  if (!is_host_name(host.name)) return std::nullopt;
  for (std::string word; words >> word;) {
    const bool is_limit = word.starts_with(kMaxSlots);
    if (!is_limit && !word.starts_with(kSlots)) return std::nullopt;
    const auto slots =
        slots_in(std::string_view(word).substr((is_limit ? kMaxSlots : kSlots).size()));
    if (!slots) return std::nullopt;
    if (!is_limit) host.slots = *slots;
  }
  return host.slots > 0 ? std::optional(host) : std::nullopt;
}

void add(std::vector<Host>& hosts, const Host& host) {
  const auto known = std::find_if(hosts.begin(), hosts.end(),
                                  [&](const Host& other) { return other.name == host.name; });
  if (known == hosts.end()) {
    hosts.push_back(host);
  } else {
    known->slots = std::min(known->slots + host.slots, kMostSlots);
  }
}

}  // namespace

std::vector<Host> parse_hostfile(std::string_view text, const std::string& file) {
  static const std::regex kSpacedEquals("[ \t]*=[ \t]*");
  std::vector<Host> hosts;
  std::istringstream lines{std::string(text)};
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    line = std::regex_replace(line.substr(0, line.find('#')), kSpacedEquals, "=");
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const auto host = parse_line(line);
    if (!host) {
      throw ConfigError(file + ":" + std::to_string(number) + ": '" + line +
                        "' cannot be used with --shrink, allowed: NAME slots=N, N from 1 to " +
                        std::to_string(kMostSlots));
    }
    add(hosts, *host);
  }
  if (hosts.empty()) throw ConfigError(file + ": names no host");
  return hosts;
}

std::vector<Host> read_hostfile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad()) throw ConfigError("cannot read hostfile '" + path + "'");
  return parse_hostfile(text, path);
}

std::vector<Host> answering(const std::vector<Host>& hosts, const HostProbe& probe) {
  std::vector<std::string> names;
  for (const Host& host : hosts) names.push_back(host.name);
  const std::vector<bool> answers = probe(names);
  std::vector<Host> kept;
  for (std::size_t index = 0; index < hosts.size(); ++index) {
    if (answers.at(index)) kept.push_back(hosts[index]);
  }
  return kept.empty() ? hosts : kept;
}

int total_slots(const std::vector<Host>& hosts) {
  std::int64_t total = 0;
  for (const Host& host : hosts) total += host.slots;
  return static_cast<int>(std::min<std::int64_t>(total, std::numeric_limits<int>::max()));
}

std::string host_option(const std::vector<Host>& hosts) {
  std::string text;
  for (const Host& host : hosts) {
    text += (text.empty() ? "" : ",") + host.name + ":" + std::to_string(host.slots);
  }
  return text;
}

}  // namespace hetmoe
