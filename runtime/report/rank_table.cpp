#include "runtime/report/rank_table.h"

#include <algorithm>
#include <set>

#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

/// Slow ranks that are shown of a large run, however few ask for attention.
constexpr std::size_t kSlowestShown = 8;
constexpr std::size_t kHostWidth = 20;
constexpr std::size_t kPhaseWidth = 12;

double own_seconds(const RankStatus& rank) {
  return rank.last.step_seconds - rank.last.wait_seconds;
}

/// Those that ask for attention, then the slowest; in the order of ranks again.
std::vector<RankStatus> chosen(const CoordinatorStatus& status, std::size_t most) {
  std::vector<RankStatus> ranks = status.members;
  if (ranks.size() <= most) return ranks;
  std::set<int> listed(status.silent_ranks.begin(), status.silent_ranks.end());
  listed.insert(status.behind_ranks.begin(), status.behind_ranks.end());
  const auto asks = [&](const RankStatus& rank) {
    return !rank.joined || listed.contains(rank.rank);
  };
  std::stable_sort(ranks.begin(), ranks.end(), [&](const RankStatus& one, const RankStatus& other) {
    if (asks(one) != asks(other)) return asks(one);
    return !asks(one) && own_seconds(one) > own_seconds(other);
  });
  const auto asking = static_cast<std::size_t>(std::count_if(ranks.begin(), ranks.end(), asks));
  ranks.resize(std::min(most, asking + kSlowestShown));
  std::sort(ranks.begin(), ranks.end(),
            [](const RankStatus& one, const RankStatus& other) { return one.rank < other.rank; });
  return ranks;
}

constexpr const char* kGpuMemory = "GPU memory";

/// A heading and what stands under it.
struct Column {
  std::string heading;
  bool left = false;
  std::vector<std::string> cells;
};

/// No figure before the first step has ended.
std::string speed_text(const RankStatus& rank) {
  const double seconds = own_seconds(rank);
  if (rank.last.expert_flops <= 0 || seconds <= 0) return "-";
  return fixed_text(rank.last.expert_flops / seconds / 1e9, 1);
}

std::string seconds_text(const RankStatus& rank, double seconds) {
  return rank.last.step_seconds > 0 ? fixed_text(seconds, 3) : "-";
}

std::string memory_text(std::int64_t bytes) { return bytes > 0 ? bytes_text(bytes) : "-"; }

std::vector<std::string> cells_of(const RankStatus& rank) {
  if (!rank.joined) {
    return {std::to_string(rank.rank), "-", "-", "-", "not joined", "-", "-", "-", "-", "-", "-"};
  }
  return {std::to_string(rank.rank),
          plain_text(rank.host, kHostWidth),
          std::to_string(rank.process),
          std::to_string(rank.last.step),
          plain_text(rank.last.phase, kPhaseWidth),
          seconds_text(rank, rank.last.step_seconds),
          seconds_text(rank, rank.last.wait_seconds),
          speed_text(rank),
          memory_text(rank.last.memory_bytes),
          memory_text(rank.last.device_memory_bytes),
          duration_text(rank.silent_seconds) + " ago"};
}

std::string table_text(const std::vector<Column>& columns, std::size_t rows) {
  std::string text;
  for (std::size_t row = 0; row <= rows; ++row) {
    std::string line;
    for (const Column& column : columns) {
      std::size_t width = column.heading.size();
      for (const std::string& cell : column.cells) width = std::max(width, cell.size());
      const std::string& cell = row == 0 ? column.heading : column.cells[row - 1];
      line += (line.empty() ? "" : "  ") +
              (column.left ? left_aligned(cell, width) : right_aligned(cell, width));
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace

std::string rank_table(const CoordinatorStatus& status, std::size_t most) {
  const std::vector<RankStatus> ranks = chosen(status, most);
  if (ranks.empty()) return "";
  std::vector<Column> columns = {{"rank", false, {}},     {"host", true, {}},
                                 {"process", false, {}},  {"step", false, {}},
                                 {"phase", true, {}},     {"step s", false, {}},
                                 {"wait s", false, {}},   {"expert GFLOP/s", false, {}},
                                 {"memory", false, {}},   {kGpuMemory, false, {}},
                                 {"last seen", false, {}}};
  for (const RankStatus& rank : ranks) {
    const std::vector<std::string> cells = cells_of(rank);
    for (std::size_t i = 0; i < columns.size(); ++i) columns[i].cells.push_back(cells[i]);
  }
  const auto has_gpu = [](const RankStatus& rank) { return rank.last.device_memory_bytes > 0; };
  if (std::ranges::none_of(ranks, has_gpu)) {
    std::erase_if(columns, [](const Column& column) { return column.heading == kGpuMemory; });
  }
  std::string text = table_text(columns, ranks.size());
  const std::size_t hidden = status.members.size() - ranks.size();
  if (hidden > 0) text += "and " + std::to_string(hidden) + " more ranks (all: --json)\n";
  return text;
}

std::string ranks_text(const std::vector<int>& ascending, std::size_t most) {
  std::string text;
  std::size_t parts = 0;
  for (std::size_t first = 0; first < ascending.size();) {
    if (parts++ == most) {
      return text + " and " + std::to_string(ascending.size() - first) + " more";
    }
    std::size_t last = first;
    while (last + 1 < ascending.size() && ascending[last + 1] == ascending[last] + 1) ++last;
    if (last == first + 1) last = first;  // two neighbours are no range
    text += (text.empty() ? "" : ", ") + std::to_string(ascending[first]);
    if (last > first) text += " to " + std::to_string(ascending[last]);
    first = last + 1;
  }
  return text;
}

std::string plain_text(const std::string& sent, std::size_t most) {
  std::string text = sent.size() > most ? sent.substr(0, most - 3) + "..." : sent;
  std::replace_if(
      text.begin(), text.end(), [](unsigned char byte) { return byte < 0x20 || byte >= 0x7f; },
      '?');
  return text;
}

}  // namespace hetmoe
