#pragma once

// Private to this folder: where the threads of a LocalWorld meet.
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "parallel/communicator/communicator.h"

namespace hetmoe {

class LocalGroup;

/// What all groups of one world share. One lock for all: a failure must wake every waiter.
class LocalJob {
 public:
  explicit LocalJob(int size) : left(static_cast<std::size_t>(size), false) {}

  std::mutex mutex;
  std::condition_variable changed;
  int failed_rank = -1;    ///< first rank that failed
  std::string failure;     ///< its message
  std::vector<bool> left;  ///< ranks that start no more collectives
};

/// What one rank brings to a collective.
struct LocalContribution {
  const char* operation = "";
  ConstBuffer send;
  Buffer receive;
  std::vector<std::int64_t> send_counts;
  std::vector<std::int64_t> receive_counts;
  Reduction reduction = Reduction::kSum;
  int root = 0;
  int color = 0;
  int key = 0;
};

/// One collective of one group.
struct LocalMeeting {
  enum class State { kGathering, kMoving, kDone };
  std::int64_t sequence = 0;
  std::vector<std::optional<LocalContribution>> by_rank;
  int arrived = 0;
  State state = State::kGathering;
  std::string mismatch;  ///< set when done and the ranks disagreed
  /// Of a split: each rank's new group and rank.
  std::vector<std::pair<std::shared_ptr<LocalGroup>, int>> parts;
};

/// The meeting place of one group.
class LocalGroup {
 public:
  /// `members[r]`: rank r's number in the world.
  LocalGroup(std::shared_ptr<LocalJob> job, std::vector<int> members);

  int size() const { return static_cast<int>(members_.size()); }

  /// Joins collective number `sequence`; the last rank to join moves the data of all. Never blocks
  /// on peers.
  std::shared_ptr<LocalMeeting> join(int rank, std::int64_t sequence,
                                     LocalContribution contribution);
  /// Blocks until the meeting is done; throws CommunicationError.
  void wait(const LocalMeeting& meeting);
  bool done(const LocalMeeting& meeting);
  /// Takes a contribution back, so that nobody touches its buffers any more. Blocks only while
  /// data is being moved.
  void withdraw(int rank, LocalMeeting& meeting);

  LocalJob& job() { return *job_; }
  int world_rank(int rank) const { return members_[static_cast<std::size_t>(rank)]; }

 private:
  void move(LocalMeeting& meeting);
  void make_parts(LocalMeeting& meeting);
  std::optional<int> missing_rank_that_left(const LocalMeeting& meeting) const;

  std::shared_ptr<LocalJob> job_;
  std::vector<int> members_;
  std::map<std::int64_t, std::shared_ptr<LocalMeeting>> open_;
};

/// Empty when the ranks' contributions fit together, else one line that says how they do not.
std::string find_mismatch(const LocalMeeting& meeting);

/// Moves and reduces the data of a meeting whose contributions fit.
void move_contributions(const LocalMeeting& meeting);

}  // namespace hetmoe
