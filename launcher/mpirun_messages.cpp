#include "launcher/mpirun_messages.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

namespace hetmoe {
namespace {

// As Open MPI 4.1 and 5 print them.
constexpr std::string_view kEndOfRank[] = {
    "mpirun noticed that process rank ", "prterun noticed that process rank ",
    "mpirun detected that one or more processes exited with non-zero status",
    "prterun detected that one or more processes exited with non-zero status",
    "terminated normally, but 1 process returned"};
constexpr std::string_view kNoticed = "noticed that process rank ";
constexpr std::size_t kLongestBlock = 8192;

bool is_dashes(std::string_view line) {
  return line.size() >= 60 && line.find_first_not_of('-') == std::string_view::npos;
}

/// Open MPI 5 breaks its lines anywhere.
std::string on_one_line(std::string_view block) {
  std::string line;
  for (const char letter : block) {
    const bool is_space = letter == ' ' || letter == '\n';
    if (!is_space) line += letter;
    if (is_space && !line.empty() && line.back() != ' ') line += ' ';
  }
  return line;
}

bool tells_of_an_end(std::string_view block) {
  return std::ranges::any_of(kEndOfRank, [&](std::string_view text) {
    return block.find(text) != std::string_view::npos;
  });
}

/// "... noticed that process rank 1 with PID 0 on node n2 exited on signal 9 (Killed)."
std::optional<FirstLost> lost_in(std::string_view block) {
  const std::size_t at = block.find(kNoticed);
  if (at == std::string_view::npos) return {};
  const std::string_view tail = block.substr(at + kNoticed.size());
  FirstLost lost;
  if (std::from_chars(tail.data(), tail.data() + tail.size(), lost.rank).ec != std::errc())
    return {};
  constexpr std::string_view kNode = " on node ";
  const std::size_t node = tail.find(kNode);
  if (node != std::string_view::npos) {
    const std::string_view name = tail.substr(node + kNode.size());
    lost.host = name.substr(0, name.find(' '));
  }
  return lost;
}

/// What ranks have said meanwhile.
std::string own_lines(std::string_view block) {
  std::string lines;
  while (!block.empty()) {
    const std::string_view line = block.substr(0, std::min(block.find('\n'), block.size() - 1) + 1);
    if (line.starts_with("hetmoe: ")) lines += line;
    block.remove_prefix(line.size());
  }
  return lines;
}

}  // namespace

std::string MpirunMessages::pass(std::string_view line) {
  const std::string whole = std::string(line) + "\n";
  if (is_dashes(line)) {
    if (!in_block_) {
      in_block_ = true;
      block_ = whole;
      return {};
    }
    block_ += whole;
    return close_block();
  }
  if (!in_block_) return whole;
  block_ += whole;
  // No message of an end is that long: these dashes were somebody's own.
  return block_.size() > kLongestBlock ? close_block() : std::string();
}

std::string MpirunMessages::rest() { return close_block(); }

std::string MpirunMessages::close_block() {
  in_block_ = false;
  const std::string block = std::exchange(block_, {});
  const std::string message = on_one_line(block);
  if (!tells_of_an_end(message)) return block;
  if (!first_lost_) first_lost_ = lost_in(message);
  return own_lines(block);
}

}  // namespace hetmoe
