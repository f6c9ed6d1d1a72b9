// How a run ends: done, stopped, or with a save that hangs.
#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string>

#include "parallel/agreement.h"
#include "runtime/metrics/run_history.h"
#include "runtime/trainer/process_memory.h"
#include "runtime/trainer/training_loop.h"

namespace hetmoe {
namespace {

/// For a rank that gives up a save whose disk hangs.
constexpr double kSecondsToEnd = 10;

PeakMemory largest_of_ranks(const PeakMemory& own, Communicator& control) {
  std::array<std::int64_t, 2> bytes = {own.host_bytes, own.device_bytes};
  control.all_reduce(buffer_of(std::span<std::int64_t>(bytes)), Reduction::kMax).wait();
  return {.host_bytes = bytes[0], .device_bytes = bytes[1]};
}

}  // namespace

/// This rank, or just the way out of here, may wait for the disk that hangs; exit.json may lie
/// elsewhere. The others leave later, if they have to: mpirun crashes when ranks fail at once.
void TrainingLoop::give_up_save(int slow_rank, const std::string& text) const {
  const int rank = traffic_.control->rank();
  end_process_later(rank, text, rank == slow_rank ? kSecondsToEnd : 3 * kSecondsToEnd);
  if (!is_first()) return;
  write_as_generation(directory_, start_.generation,
                      [&] { directory_.write_exit_json(ExitCode::kStorage, text); });
}

void TrainingLoop::stop(std::int64_t step) {
  parts_.ownership().wait_all();
  saving_.wait();
  log_save();
  const std::string reason = std::string(wishes_.stop_for_good ? "stopped by command" : "stopped") +
                             " after step " + std::to_string(step);
  if (log_) log_->stopped(step, reason);
  if (!config_.checkpoint.last_step) {
    throw AgreedError(ExitCode::kDoNotRunAgain,
                      reason + " and not saved: checkpoint.last_step is false");
  }
  if (!last_save_ || !last_save_->committed) {
    throw AgreedError(ExitCode::kStorage,
                      reason + " and not saved: " + (last_save_ ? last_save_->failure : ""));
  }
  throw AgreedError(wishes_.stop_for_good ? ExitCode::kDoNotRunAgain : ExitCode::kStoppedBySignal,
                    reason + ", saved in " + directory_.path().string() +
                        ": the same command with this --run-dir goes on from there");
}

void TrainingLoop::finish() {
  parts_.ownership().wait_all();
  saving_.wait();
  log_save();
  log_gain_of_move(config_.train.steps);
  const PeakMemory own = peak_memory(on_gpu_);
  const PeakMemory memory = largest_of_ranks(own, *traffic_.control);
  rank_log_.note("finished after step " + std::to_string(config_.train.steps) +
                 ", peak memory of this rank " + std::to_string(own.host_bytes) + " bytes" +
                 (on_gpu_ ? ", of its GPU " + std::to_string(own.device_bytes) + " bytes" : ""));
  if (log_) {
    const RunHistory history = read_run_history(directory_, request_.clock.wall_seconds());
    log_->finished(final_summary(memory, history));
    advise_interval(history);
  }
  if (config_.checkpoint.last_step && last_save_ && !last_save_->committed) {
    throw AgreedError(ExitCode::kStorage,
                      "trained to the last step, which is not saved: " + last_save_->failure);
  }
  if (log_) leave_done();
}

/// A run whose folder has just been taken over says nothing in it.
void TrainingLoop::leave_done() const {
  write_as_generation(directory_, start_.generation,
                      [&] { directory_.write_exit_json(ExitCode::kDone, "finished"); });
}

/// In a run that failures have hit.
void TrainingLoop::advise_interval(const RunHistory& history) const {
  const std::optional<double> seconds = history.best_save_interval_seconds();
  if (!seconds || history.productive_seconds <= 0) return;
  const double step_seconds = history.productive_seconds / static_cast<double>(config_.train.steps);
  log_->note("advice: with " + std::to_string(history.failures) +
             " failures so far, checkpoint.every_steps " +
             std::to_string(std::max<std::int64_t>(1, std::llround(*seconds / step_seconds))) +
             " would lose the least time");
}

FinalSummary TrainingLoop::final_summary(const PeakMemory& memory,
                                         const RunHistory& history) const {
  FinalSummary summary;
  summary.peak_memory_bytes = memory.host_bytes;
  summary.peak_device_memory_bytes = memory.device_bytes;
  summary.run_directory = directory_.path().string();
  summary.effective_time_ratio = history.effective_time_ratio();
  summary.starts = history.starts;
  if (data_.valid_unigram_entropy > 0) summary.unigram_entropy = data_.valid_unigram_entropy;
  return summary;
}

}  // namespace hetmoe
