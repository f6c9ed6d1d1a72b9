#include "runtime/trainer/saving.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <thread>
#include <utility>

#include "core/base/check.h"
#include "parallel/agreement.h"

namespace hetmoe {
namespace {

constexpr double kWitnessSeconds = 1;  // that a save which training waits for gives it
constexpr std::chrono::milliseconds kLongestPause(50);

template <typename Result>
bool is_ready(const std::future<Result>& future) {
  return !future.valid() || future.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

}  // namespace

Saving::Saving(CheckpointFolder folder, Retention retention, TensorShapes shapes,
               Communicator& control, const Clock& clock, SavingPatience patience,
               ShardWriter write, SaveWitness* witness)
    : folder_(std::move(folder)),
      retention_(retention),
      shapes_(std::move(shapes)),
      control_(control),
      clock_(clock),
      patience_(std::move(patience)),
      write_(std::move(write)),
      witness_(witness) {}

void Saving::begin(Manifest manifest, const std::vector<OwnedRows>& owned) {
  HETMOE_CHECK(stage_ == Stage::kIdle, "two saves at once");
  begin_seconds_ = clock_.monotonic_seconds();
  HETMOE_CHECK(!result_ || result_->step != manifest.step, "step ", manifest.step, " saved twice");
  manifest_ = std::move(manifest);
  record_ = {.step = manifest_.step};
  next_tell_seconds_ = patience_.wait_seconds > 0
                           ? std::min(patience_.tell_seconds, patience_.wait_seconds / 4)
                           : patience_.tell_seconds;
  has_folder_ = false;
  written_.reset();
  write_failure_ = nullptr;
  witness_is_late_ = false;
  try {
    collectively(control_, [&] {
      if (control_.rank() == 0) folder_.begin(manifest_.step);
    });
    has_folder_ = true;
    collectively(control_, [&] { start_writing(owned); });
  } catch (const AgreedError& error) {
    fail(error.what());
    return;
  }
  stage_ = Stage::kWriting;
  record_.blocked_seconds =
      std::exchange(waited_seconds_, 0.0) + clock_.monotonic_seconds() - begin_seconds_;
}

void Saving::start_writing(const std::vector<OwnedRows>& owned) {
  writing_ =
      std::async(std::launch::async,
                 [write = write_, folder = folder_.path_of(manifest_.step),
                  name = shard_file_name(control_.rank()),
                  rows = snapshot_.copy(owned, shapes_)] { return write(folder, name, rows); });
}

void Saving::poll() {
  if (stage_ == Stage::kWriting) {
    take_written();
    if (everyone(written_ || write_failure_) && all_agree()) commit();
  } else if (stage_ == Stage::kCommitting && everyone(is_ready(committing_))) {
    conclude();
  }
}

void Saving::wait() {
  if (stage_ == Stage::kIdle) return;
  const double begin_seconds = clock_.monotonic_seconds();
  wait_begin_seconds_ = begin_seconds;
  std::chrono::milliseconds pause(1);
  while (true) {
    witness_is_late_ = clock_.monotonic_seconds() - begin_seconds > kWitnessSeconds;
    poll();
    if (stage_ == Stage::kIdle) break;
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, kLongestPause);
  }
  wait_begin_seconds_.reset();
  waited_seconds_ += clock_.monotonic_seconds() - begin_seconds;
}

std::optional<SaveRecord> Saving::take_result() { return std::exchange(result_, std::nullopt); }

void Saving::take_written() {
  if (written_ || write_failure_ || !is_ready(writing_)) return;
  try {
    written_ = writing_.get();
    if (witness_ != nullptr) witness_->prepared(manifest_.step, written_->file);
  } catch (...) {
    write_failure_ = std::current_exception();
  }
}

/// Once all have written. Where a rank has failed nobody waits for a witness of what is lost.
bool Saving::all_agree() {
  const bool asks = witness_ != nullptr && control_.rank() == 0 && written_;
  const auto answer = asks ? witness_->answer() : SaveWitness::Answer::kAgreed;
  if (answer == SaveWitness::Answer::kRefused) {
    write_failure_ = std::make_exception_ptr(Error(ExitCode::kCoordinator, witness_->refusal()));
  }
  const bool waits_in_vain = wait_begin_seconds_ && answer == SaveWitness::Answer::kAway;
  const bool agrees = answer == SaveWitness::Answer::kAgreed || waits_in_vain || witness_is_late_;
  std::array<std::int64_t, 2> votes = {write_failure_ ? 0 : 1, agrees ? 1 : 0};
  control_.all_reduce(buffer_of(std::span<std::int64_t>(votes)), Reduction::kMin).wait();
  const auto [none_failed, witness_agrees] = votes;
  return none_failed == 0 || witness_agrees == 1;
}

/// One clock decides for all, rank 0's: that the patience is at an end travels with the question.
bool Saving::everyone(bool is_ready) {
  const double waited =
      wait_begin_seconds_ ? clock_.monotonic_seconds() - *wait_begin_seconds_ : 0.0;
  const bool too_long = patience_.wait_seconds > 0 && waited > patience_.wait_seconds;
  // The lowest rank that is not ready, and 0 where the waiting has to end.
  std::array<std::int64_t, 2> least = {is_ready ? control_.size() : control_.rank(),
                                       control_.rank() == 0 && too_long ? 0 : 1};
  control_.all_reduce(buffer_of(std::span<std::int64_t>(least)), Reduction::kMin).wait();
  if (least[0] == control_.size()) return true;
  const int rank = static_cast<int>(least[0]);
  if (control_.rank() == 0) tell_of_slow(rank);
  if (least[1] == 0) give_up(rank);
  return false;
}

void Saving::tell_of_slow(int rank) {
  const double seconds = clock_.monotonic_seconds() - begin_seconds_;
  if (!patience_.tell || seconds < next_tell_seconds_) return;
  while (next_tell_seconds_ <= seconds) next_tell_seconds_ *= 2;
  patience_.tell({.step = record_.step,
                  .folder = folder_.path_of(record_.step),
                  .seconds = seconds,
                  .rank = rank,
                  .blocks = wait_begin_seconds_.has_value()});
}

void Saving::give_up(int rank) {
  const std::string text =
      detail::concatenate("the save of step ", record_.step, " into '",
                          folder_.path_of(record_.step).string(), "' is not done after ",
                          patience_.wait_seconds, " s of waiting (checkpoint.wait_seconds): rank ",
                          rank, " has not finished its part; what was saved before is whole");
  if (patience_.give_up) patience_.give_up(rank, text);
  throw AgreedError(ExitCode::kStorage, text);
}

void Saving::commit() {
  std::string own;
  try {
    collectively(control_, [&] {
      if (write_failure_) std::rethrow_exception(write_failure_);
      own = shard_text(*written_);
    });
  } catch (const AgreedError& error) {
    fail(error.what());
    return;
  }
  const std::vector<std::string> shards = gather_texts(control_, own);
  stage_ = Stage::kCommitting;
  if (control_.rank() != 0) return;
  for (const std::string& text : shards) add_shard(shard_of_text(text), manifest_);
  sort_parts(manifest_);
  for (const CheckpointFile& file : manifest_.files) record_.bytes += file.bytes;
  committing_ = std::async(std::launch::async, [folder = folder_, retention = retention_,
                                                manifest = std::move(manifest_)] {
    folder.commit(manifest);
    std::vector<std::string> failures;
    folder.prune(retention, failures);
    return failures;
  });
}

void Saving::conclude() {
  try {
    collectively(control_, [&] {
      if (control_.rank() == 0) record_.warnings = committing_.get();
    });
  } catch (const AgreedError& error) {
    fail(error.what());
    return;
  }
  stage_ = Stage::kIdle;
  record_.committed = true;
  record_.seconds = clock_.monotonic_seconds() - begin_seconds_;
  tell();
}

/// Nothing is left behind but what is committed all the same: a marker that could not be synced, or
/// one that is not ours.
void Saving::fail(const std::string& reason) {
  stage_ = Stage::kIdle;
  if (writing_.valid()) writing_.wait();
  control_.barrier();  // nobody writes any more
  writing_ = {};
  record_.failure = reason;
  record_.seconds = clock_.monotonic_seconds() - begin_seconds_;
  if (control_.rank() == 0 && has_folder_) {
    try {
      if (!is_committed(folder_.path_of(record_.step))) folder_.remove(record_.step);
    } catch (const StorageError& error) {
      record_.warnings.emplace_back(error.what());
    }
  }
  tell();
}

void Saving::tell() {
  if (witness_ != nullptr) witness_->concluded(record_);
  result_ = std::exchange(record_, {});
}

}  // namespace hetmoe
