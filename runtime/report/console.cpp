#include "runtime/report/console.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "runtime/report/quantity_text.h"
#include "runtime/report/summary_text.h"

namespace hetmoe {
namespace {

constexpr const char* kClearToEnd = "\x1b[K";
/// Weight of the newest step in the running mean of the pace.
constexpr double kPaceWeight = 0.05;

}  // namespace

Console::Console(std::FILE* out, const Clock& clock, const ConsoleOptions& options)
    : out_(out), clock_(clock), options_(options) {}

Console::~Console() { end_live_line(); }

void Console::header(const RunSummary& summary) {
  steps_ = summary.steps;
  last_step_at_seconds_ = clock_.monotonic_seconds();
  print(header_text(summary) + "\n");
}

void Console::step(const StepRecord& record) {
  learn_pace(record);
  const double now = clock_.monotonic_seconds();
  const double interval = options_.terminal ? options_.live_seconds : options_.log_seconds;
  const bool last = record.step == steps_;
  if (last_shown_seconds_ && now - *last_shown_seconds_ < interval && !last) return;
  last_shown_seconds_ = now;
  if (!options_.terminal) {
    print(step_text(record) + "\n");
    return;
  }
  live_line_ = step_text(record);
  std::fprintf(out_, "\r%s%s", live_line_.c_str(), kClearToEnd);
  std::fflush(out_);
  if (last) end_live_line();
}

void Console::evaluation(const EvaluationRecord& record) {
  print("evaluation at step " + std::to_string(record.step) + ": held-out loss " +
        fixed_text(record.loss, 4) + ", " + fixed_text(record.bits_per_byte, 3) +
        " bits per byte, " + count_text(static_cast<double>(record.tokens)) + " tokens\n");
}

void Console::rebalance(std::int64_t step, const RebalanceRecord& record) {
  print("rebalanced after step " + std::to_string(step) + ": work " +
        fixed_text(record.flops_max_over_mean_before, 2) + " -> " +
        fixed_text(record.flops_max_over_mean_after, 2) + " max/mean, " +
        bytes_text(record.moving_bytes) + " moved in " + fixed_text(record.moving_seconds, 3) +
        " s" + "\n");
}

void Console::saved(const SaveRecord& record) {
  print("checkpoint of step " + std::to_string(record.step) + ": " + bytes_text(record.bytes) +
        " in " + short_duration_text(record.seconds) + ", training waited " +
        short_duration_text(record.blocked_seconds) + "\n");
}

void Console::warning(std::string_view text) {
  print(std::string("warning: ").append(text).append("\n"));
}

void Console::note(std::string_view text) { print(std::string(text) + "\n"); }

void Console::block(std::string_view text) { print("\n" + std::string(text) + "\n"); }

void Console::finish(const FinalSummary& summary) {
  end_live_line();
  print(std::string("\n").append(closing_text(summary)));
}

/// Puts whole lines above the live line, which is then shown again.
void Console::print(const std::string& text) {
  if (live_line_.empty()) {
    std::fputs(text.c_str(), out_);
  } else {
    std::fprintf(out_, "\r%s%s%s", kClearToEnd, text.c_str(), live_line_.c_str());
  }
  std::fflush(out_);
}

void Console::end_live_line() {
  if (live_line_.empty()) return;
  live_line_.clear();
  std::fputs("\n", out_);
  std::fflush(out_);
}

std::string Console::step_text(const StepRecord& record) const {
  const std::string of = std::to_string(steps_);
  std::string text = "step " + right_aligned(std::to_string(record.step), of.size()) + "/" + of +
                     "  loss " + right_aligned(fixed_text(record.loss, 4), 7) + "  " +
                     right_aligned(count_text(record.tokens_per_second), 6) +
                     " tokens/s  balance " + fixed_text(record.flops_max_over_mean, 2);
  if (record.step < steps_) {
    const double left = static_cast<double>(steps_ - record.step) * seconds_per_step_;
    text += "  left " + duration_text(left);
  }
  if (record.skipped > 0) text += "  skipped " + std::to_string(record.skipped);
  return text;
}

/// The first step pays for what is done once (kernels built, memory touched), so the second one
/// replaces it instead of being averaged with it.
void Console::learn_pace(const StepRecord& record) {
  const double now = clock_.monotonic_seconds();
  if (last_step_at_seconds_) {
    const double seconds = std::max(now - *last_step_at_seconds_, 0.0);
    seconds_per_step_ =
        record.step <= 2 ? seconds : (1 - kPaceWeight) * seconds_per_step_ + kPaceWeight * seconds;
  }
  last_step_at_seconds_ = now;
}

bool is_live_terminal(std::FILE* stream) {
  const char* kind = std::getenv("TERM");
  return ::isatty(::fileno(stream)) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

}  // namespace hetmoe
