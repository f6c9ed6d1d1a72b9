#include "core/data/encode_workers.h"

#include <utility>

#include "core/base/check.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{1} << 30;
constexpr std::int64_t kBytesPerWorker = std::int64_t{4} << 20;
constexpr std::int64_t kBatchesPerWorker = 4;

}  // namespace

EncodeWorkers::EncodeWorkers(int num_workers, std::unique_ptr<Tokenizer> first,
                             MakeTokenizer make_tokenizer, Encode encode)
    : make_tokenizer_(std::move(make_tokenizer)),
      encode_(std::move(encode)),
      num_workers_(num_workers) {
  HETMOE_CHECK(num_workers >= 1, num_workers, " workers");
  try {
    for (int i = 0; i < num_workers; ++i) {
      threads_.emplace_back(
          [this, tokenizer = std::move(first)]() mutable { work(std::move(tokenizer)); });
    }
  } catch (...) {
    stop();  // those that were started must not be waited for in vain
    throw;
  }
}

EncodeWorkers::~EncodeWorkers() { stop(); }

void EncodeWorkers::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_to_do_.notify_all();
}

bool EncodeWorkers::has_room() const {
  const std::lock_guard lock(mutex_);
  const auto held = static_cast<std::int64_t>(jobs_.size());
  if (held == 0) return true;
  if (held_bytes_ >= kMostBytes) return false;
  return held < num_workers_ ||
         (held < kBatchesPerWorker * num_workers_ && held_bytes_ < kBytesPerWorker * num_workers_);
}

bool EncodeWorkers::is_empty() const {
  const std::lock_guard lock(mutex_);
  return jobs_.empty();
}

void EncodeWorkers::submit(EncodeBatch batch) {
  auto job = std::make_unique<Job>();
  job->batch = std::move(batch);
  {
    const std::lock_guard lock(mutex_);
    held_bytes_ += job->batch.record_bytes;
    jobs_.push_back(std::move(job));
  }
  work_to_do_.notify_one();
}

EncodeBatch EncodeWorkers::take() {
  std::unique_ptr<Job> job;
  {
    std::unique_lock lock(mutex_);
    HETMOE_CHECK(!jobs_.empty(), "no batch was submitted");
    work_done_.wait(lock, [this] { return jobs_.front()->is_done; });
    job = std::move(jobs_.front());
    jobs_.pop_front();
    --num_begun_;
    held_bytes_ -= job->batch.record_bytes;
  }
  if (job->failure) std::rethrow_exception(job->failure);
  return std::move(job->batch);
}

/// Nothing when it is time to stop.
EncodeWorkers::Job* EncodeWorkers::next_job() {
  std::unique_lock lock(mutex_);
  work_to_do_.wait(lock, [this] { return stopping_ || num_begun_ < jobs_.size(); });
  return stopping_ ? nullptr : jobs_[num_begun_++].get();
}

void EncodeWorkers::work(std::unique_ptr<Tokenizer> tokenizer) {
  while (Job* job = next_job()) {
    try {
      if (tokenizer == nullptr) tokenizer = make_tokenizer_();
      encode_(job->batch, *tokenizer);
    } catch (...) {
      job->failure = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      job->is_done = true;
    }
    work_done_.notify_one();
  }
}

}  // namespace hetmoe
