#include "parallel/communicator/mpi_operations.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "parallel/communicator/rank_order_reduction.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kScratchBytes = std::int64_t{32} << 20;
constexpr std::int64_t kLargestChunkBytes = std::int64_t{512} << 10;
constexpr std::int64_t kSmallestChunkBytes = std::int64_t{32} << 10;

// Computed alike by sender and receiver: it depends on the group's size only. A multiple of every
// element's size, unless a test lowers the message size below that.
std::int64_t chunk_bytes_for(int size) {
  const std::int64_t fair = kScratchBytes / std::max(1, size - 1) / 64 * 64;
  return std::clamp(fair, kSmallestChunkBytes, kLargestChunkBytes);
}

// After an error MPI may still write to the memory: it is given up, never used again.
void retire(MpiProgress& progress, Scratch scratch, bool failed) {
  if (failed)
    static_cast<void>(scratch.memory.release());
  else if (scratch.memory)
    progress.give_scratch(std::move(scratch));
}

enum class Direction { kSend, kReceive };

void post_part(Direction direction, const OperationName& name, const MpiChannel& channel,
               MpiPart part, int peer, std::vector<MPI_Request>& requests) {
  for (std::int64_t begin = 0; begin < part.size_bytes; begin += channel.largest_message_bytes) {
    const auto length =
        static_cast<int>(std::min(channel.largest_message_bytes, part.size_bytes - begin));
    MPI_Request& request = requests.emplace_back(MPI_REQUEST_NULL);
    const int code = direction == Direction::kSend
                         ? MPI_Isend(part.pointer + begin, length, MPI_BYTE, peer, channel.tag,
                                     channel.communicator, &request)
                         : MPI_Irecv(part.pointer + begin, length, MPI_BYTE, peer, channel.tag,
                                     channel.communicator, &request);
    check_mpi(code, name);
  }
}

}  // namespace

bool MpiExchange::next_stage(std::vector<MPI_Request>& requests) {
  if (!post_) return true;
  std::exchange(post_, nullptr)(requests);
  return requests.empty();
}

void post_exchange(const OperationName& name, const MpiChannel& channel,
                   std::span<const MpiPart> sends, std::span<const MpiPart> receives,
                   std::vector<MPI_Request>& requests) {
  // Each rank begins with its right neighbour, so that not all of them call on rank 0 first.
  for (int step = 1; step < name.size; ++step) {
    const int peer = (name.rank + name.size - step) % name.size;
    const auto index = static_cast<std::size_t>(peer);
    post_part(Direction::kReceive, name, channel, receives[index], peer, requests);
  }
  for (int step = 1; step < name.size; ++step) {
    const int peer = (name.rank + step) % name.size;
    const auto index = static_cast<std::size_t>(peer);
    post_part(Direction::kSend, name, channel, sends[index], peer, requests);
  }
}

MpiGatheredReduce::MpiGatheredReduce(const OperationName& name, const MpiChannel& channel,
                                     std::shared_ptr<MpiProgress> progress, Buffer values,
                                     Reduction reduction)
    : MpiOperation(name),
      channel_(channel),
      progress_(std::move(progress)),
      values_(values),
      reduction_(reduction) {}

MpiGatheredReduce::~MpiGatheredReduce() {
  retire(*progress_, std::move(scratch_), error() != nullptr);
}

bool MpiGatheredReduce::next_stage(std::vector<MPI_Request>& requests) {
  const std::int64_t size_bytes = values_.count * bytes_of(values_.type);
  if (!posted_) {
    posted_ = true;
    scratch_ = progress_->take_scratch(static_cast<std::size_t>(size_bytes * name().size));
    const int length = static_cast<int>(size_bytes);
    MPI_Request& request = requests.emplace_back(MPI_REQUEST_NULL);
    check(MPI_Iallgather(values_.pointer, length, MPI_BYTE, scratch_.memory.get(), length, MPI_BYTE,
                         channel_.communicator, &request));
    return false;
  }
  std::vector<const void*> sources;
  for (int peer = 0; peer < name().size; ++peer)
    sources.push_back(scratch_.memory.get() + peer * size_bytes);
  reduce_in_rank_order(values_.type, reduction_, sources, values_.pointer, values_.count);
  return true;
}

MpiPartedReduce::MpiPartedReduce(const OperationName& name, const MpiChannel& channel,
                                 std::shared_ptr<MpiProgress> progress, Request request)
    : MpiOperation(name),
      channel_(channel),
      progress_(std::move(progress)),
      request_(std::move(request)),
      element_bytes_(bytes_of(request_.send.type)),
      chunk_bytes_(chunk_bytes_for(name.size)) {
  std::int64_t offset = 0;
  for (const std::int64_t count : request_.counts) {
    offsets_bytes_.push_back(offset);
    offset += count * element_bytes_;
  }
}

MpiPartedReduce::~MpiPartedReduce() { retire(*progress_, std::move(scratch_), error() != nullptr); }

std::int64_t MpiPartedReduce::own_bytes() const {
  return request_.counts[static_cast<std::size_t>(name().rank)] * element_bytes_;
}

std::int64_t MpiPartedReduce::slot_bytes() const { return std::min(chunk_bytes_, own_bytes()); }

std::byte* MpiPartedReduce::scratch_of(int peer) const {
  const int slot = peer < name().rank ? peer : peer - 1;
  return scratch_.memory.get() + slot * slot_bytes();
}

void MpiPartedReduce::post_sends() {
  auto* base = static_cast<std::byte*>(const_cast<void*>(request_.send.pointer));
  for (int step = 1; step < name().size; ++step) {
    const int peer = (name().rank + step) % name().size;
    const auto index = static_cast<std::size_t>(peer);
    const std::int64_t size_bytes = request_.counts[index] * element_bytes_;
    for (std::int64_t begin = 0; begin < size_bytes; begin += chunk_bytes_)
      post_part(Direction::kSend, name(), channel_,
                {base + offsets_bytes_[index] + begin, std::min(chunk_bytes_, size_bytes - begin)},
                peer, sends_);
  }
}

void MpiPartedReduce::post_receives(std::vector<MPI_Request>& requests) {
  const std::int64_t length = std::min(chunk_bytes_, own_bytes() - reduced_bytes_);
  for (int step = 1; step < name().size; ++step) {
    const int peer = (name().rank + name().size - step) % name().size;
    post_part(Direction::kReceive, name(), channel_, {scratch_of(peer), length}, peer, requests);
  }
}

void MpiPartedReduce::reduce_chunk() {
  const std::int64_t length = std::min(chunk_bytes_, own_bytes() - reduced_bytes_);
  const auto own = static_cast<std::size_t>(name().rank);
  const auto* own_part =
      static_cast<const std::byte*>(request_.send.pointer) + offsets_bytes_[own] + reduced_bytes_;
  std::vector<const void*> sources;
  for (int peer = 0; peer < name().size; ++peer)
    sources.push_back(peer == name().rank ? own_part : scratch_of(peer));
  reduce_in_rank_order(request_.send.type, request_.reduction, sources,
                       static_cast<std::byte*>(request_.receive) + reduced_bytes_,
                       length / element_bytes_);
  reduced_bytes_ += length;
}

void MpiPartedReduce::post_gather(std::vector<MPI_Request>& requests) {
  const auto size = static_cast<std::size_t>(name().size);
  const auto own = static_cast<std::size_t>(name().rank);
  std::vector<MpiPart> receives(size);
  for (std::size_t peer = 0; peer < size; ++peer)
    receives[peer] = {request_.gather + offsets_bytes_[peer],
                      request_.counts[peer] * element_bytes_};
  const std::vector<MpiPart> sends(size, receives[own]);
  MpiChannel channel = channel_;
  ++channel.tag;  // a fast peer gathers while a slow one still reduces
  post_exchange(name(), channel, sends, receives, requests);
}

bool MpiPartedReduce::next_stage(std::vector<MPI_Request>& requests) {
  if (stage_ == Stage::kBegin) {
    stage_ = Stage::kReduce;
    post_sends();
    if (own_bytes() > 0) {
      scratch_ =
          progress_->take_scratch(static_cast<std::size_t>(slot_bytes() * (name().size - 1)));
      post_receives(requests);
      return false;
    }
  } else if (stage_ == Stage::kReduce && reduced_bytes_ < own_bytes()) {
    reduce_chunk();
    if (reduced_bytes_ < own_bytes()) {
      post_receives(requests);
      return false;
    }
  }
  if (stage_ == Stage::kReduce) {
    // The gather overwrites what the sends still read.
    requests.swap(sends_);
    stage_ = request_.gather != nullptr ? Stage::kGather : Stage::kDone;
    if (!requests.empty()) return false;
  }
  if (stage_ == Stage::kGather) {
    stage_ = Stage::kDone;
    post_gather(requests);
    if (!requests.empty()) return false;
  }
  return true;
}

}  // namespace hetmoe
