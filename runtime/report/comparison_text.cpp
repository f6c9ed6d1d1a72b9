#include "runtime/report/comparison_text.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "runtime/report/quantity_text.h"
#include "runtime/report/rank_table.h"

namespace hetmoe {
namespace {

constexpr std::size_t kLongestName = 100;
constexpr std::size_t kTextColumns = 2;

using Row = std::vector<std::string>;

template <typename Text>
std::string known(double value, const Text& text) {
  return std::isfinite(value) ? text(value) : "-";
}

std::string decimals(double value) { return fixed_text(value, 4); }

Row row_of(const ComparedRun& run) {
  return {plain_text(run.name, kLongestName),
          run.state,
          std::to_string(run.steps),
          known(run.held_out_loss, decimals),
          known(run.bits_per_byte, decimals),
          known(run.tokens_per_second, count_text),
          known(run.active_parameters, count_text)};
}

}  // namespace

std::string comparison_text(std::span<const ComparedRun> runs) {
  std::vector<Row> rows = {
      {"run", "state", "steps", "held-out loss", "bits per byte", "tokens/s", "active parameters"}};
  for (const ComparedRun& run : runs) rows.push_back(row_of(run));
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += (i == 0 ? "" : "  ") + (i < kTextColumns ? left_aligned(row[i], widths[i])
                                                       : right_aligned(row[i], widths[i]));
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace hetmoe
