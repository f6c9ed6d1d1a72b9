#include "launcher/prepare_progress_line.h"

#include <array>
#include <cmath>
#include <cstdio>

namespace hetmoe {
namespace {

constexpr double kTerminalSeconds = 0.2;
constexpr double kLogSeconds = 10;
constexpr double kLeastSeconds = 0.5;  // before it a rate means nothing

template <typename... Values>
std::string format(const char* pattern, Values... values) {
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), pattern, values...);
  return text.data();
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<long long>(std::ceil(seconds));
  if (whole < 60) return format("%lld s", whole);
  if (whole < 3600) return format("%lld min %02lld s", whole / 60, whole % 60);
  return format("%lld h %02lld min", whole / 3600, whole / 60 % 60);
}

double percent(const PrepareProgress& progress) {
  if (progress.total_bytes <= 0) return 100;
  return std::floor(100.0 * static_cast<double>(progress.read_bytes) /
                    static_cast<double>(progress.total_bytes));
}

}  // namespace

std::string PrepareProgressLine::text_of(const PrepareProgress& progress) const {
  std::string text = progress.stage;
  if (progress.stage == "training tokenizer") return text;
  text += format(": %.0f %%", percent(progress));
  const double seconds = clock_.monotonic_seconds() - stage_seconds_;
  const auto done = static_cast<double>(progress.read_bytes - stage_bytes_);
  const bool has_rate = seconds >= kLeastSeconds && done > 0 && progress.stage != "done";
  if (has_rate) text += format(", %.1f MB/s", done / seconds / 1e6);
  if (progress.documents > 0) {
    text += format(", %lld documents, %lld tokens", static_cast<long long>(progress.documents),
                   static_cast<long long>(progress.tokens));
  }
  if (has_rate) {
    const auto left = static_cast<double>(progress.total_bytes - progress.read_bytes);
    text += ", " + duration_text(left * seconds / done) + " left";
  }
  return text;
}

std::string PrepareProgressLine::next(const PrepareProgress& progress) {
  const double now = clock_.monotonic_seconds();
  const bool is_new_stage = progress.stage != stage_;
  if (!is_new_stage && now - shown_seconds_ < (is_terminal_ ? kTerminalSeconds : kLogSeconds)) {
    return "";
  }
  std::string out;
  if (is_new_stage) {
    if (is_terminal_ && !stage_.empty()) out += "\n";
    const bool goes_on = progress.resumed && stage_.empty();
    if (goes_on) out += "going on where an unfinished preparation stopped\n";
    stage_ = progress.stage;
    stage_seconds_ = now;
    stage_bytes_ = progress.read_bytes;
  }
  shown_seconds_ = now;
  out += is_terminal_ ? "\r" + text_of(progress) + "\x1b[K" : text_of(progress) + "\n";
  return out;
}

}  // namespace hetmoe
