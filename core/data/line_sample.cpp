#include "core/data/line_sample.h"

#include <algorithm>
#include <limits>

#include "core/data/utf8.h"

namespace hetmoe {
namespace {

// With its line end what the trainer takes as one line.
constexpr std::size_t kLongestLineBytes = 3999;

}  // namespace

LineSample::LineSample(std::uint64_t seed, std::int64_t limit_bytes)
    : random_(seed, "tokenizer sample"),
      limit_bytes_(limit_bytes),
      bound_(std::numeric_limits<std::uint64_t>::max()) {}

void LineSample::add(std::string_view document) {
  while (!document.empty()) {
    const std::size_t line_end = document.find('\n');
    std::string_view line = document.substr(0, line_end);
    document.remove_prefix(std::min(line.size() + 1, document.size()));
    while (line.size() > kLongestLineBytes) {
      const std::size_t cut = utf8_cut(line, kLongestLineBytes);
      add_line(line.substr(0, cut));
      line.remove_prefix(cut);
    }
    add_line(line);
  }
}

void LineSample::add_line(std::string_view line) {
  const std::uint64_t number = number_++;
  const std::uint64_t hash = random_.bits(number, 0);
  if (line.empty() || hash >= bound_) return;
  kept_bytes_ += static_cast<std::int64_t>(line.size()) + 1;
  kept_.push_back({hash, number, std::string(line)});
  std::push_heap(kept_.begin(), kept_.end());
  while (kept_bytes_ > limit_bytes_) {
    std::pop_heap(kept_.begin(), kept_.end());
    bound_ = kept_.back().hash;
    kept_bytes_ -= static_cast<std::int64_t>(kept_.back().text.size()) + 1;
    kept_.pop_back();
  }
}

std::string LineSample::text() const {
  std::vector<const Line*> lines;
  lines.reserve(kept_.size());
  for (const Line& line : kept_) lines.push_back(&line);
  std::sort(lines.begin(), lines.end(),
            [](const Line* a, const Line* b) { return a->number < b->number; });
  std::string out;
  out.reserve(static_cast<std::size_t>(kept_bytes_));
  for (const Line* line : lines) out.append(line->text).push_back('\n');
  return out;
}

}  // namespace hetmoe
