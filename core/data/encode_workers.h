#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/data/encode_batch.h"
#include "core/data/tokenizer.h"

namespace hetmoe {

/// Threads that encode batches, each with a tokenizer of its own; batches come out in the order in
/// which they went in, so that the number of threads changes nothing but the time. One thread
/// submits and takes. Memory: see has_room().
class EncodeWorkers {
 public:
  using Encode = std::function<void(EncodeBatch&, Tokenizer&)>;
  using MakeTokenizer = std::function<std::unique_ptr<Tokenizer>()>;

  /// `first` is used by one of the threads; the others make theirs when there is work for them.
  EncodeWorkers(int num_workers, std::unique_ptr<Tokenizer> first, MakeTokenizer make_tokenizer,
                Encode encode);
  /// Waits for what the threads are at; what is still in here is dropped.
  ~EncodeWorkers();
  EncodeWorkers(const EncodeWorkers&) = delete;
  EncodeWorkers& operator=(const EncodeWorkers&) = delete;

  /// Whether another batch may be submitted: a batch for every thread whatever its size up to 1 GiB
  /// of records in all, and beyond that four for each while they hold less than 4 MiB a thread.
  bool has_room() const;
  bool is_empty() const;
  void submit(EncodeBatch batch);
  /// The oldest batch. Waits for it. Throws what its encoding threw. Not when empty.
  EncodeBatch take();

 private:
  struct Job {
    EncodeBatch batch;
    std::exception_ptr failure;
    bool is_done = false;
  };
  void stop();
  void work(std::unique_ptr<Tokenizer> tokenizer);
  Job* next_job();

  MakeTokenizer make_tokenizer_;
  Encode encode_;
  std::int64_t num_workers_;
  mutable std::mutex mutex_;
  std::condition_variable work_to_do_;
  std::condition_variable work_done_;
  std::deque<std::unique_ptr<Job>> jobs_;  ///< oldest in front
  std::size_t num_begun_ = 0;              ///< of jobs_, the first ones
  std::int64_t held_bytes_ = 0;            ///< record_bytes of jobs_
  bool stopping_ = false;
  std::vector<std::jthread> threads_;  ///< last: they use what stands above
};

}  // namespace hetmoe
