#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "parallel/communicator/mpi_progress.h"

namespace hetmoe {

/// Where an operation's messages travel.
struct MpiChannel {
  MPI_Comm communicator = MPI_COMM_NULL;
  int tag = 0;  ///< this operation's own; the next one is its too
  std::int64_t largest_message_bytes = 0;
};

/// A started run of bytes of one peer.
struct MpiPart {
  std::byte* pointer = nullptr;  ///< never written by a send
  std::int64_t size_bytes = 0;
};

/// Posts everything once and ends when all of it has completed.
class MpiExchange final : public MpiOperation {
 public:
  using Post = std::function<void(std::vector<MPI_Request>&)>;
  MpiExchange(const OperationName& name, Post post) : MpiOperation(name), post_(std::move(post)) {}

 protected:
  bool next_stage(std::vector<MPI_Request>& requests) override;

 private:
  Post post_;
};

/// Posts the receives, then the sends, of all peers but this rank: sends[r] goes to rank r, and
/// receives[r] is filled by it. Empty parts cause no message; long ones are split.
void post_exchange(const OperationName& name, const MpiChannel& channel,
                   std::span<const MpiPart> sends, std::span<const MpiPart> receives,
                   std::vector<MPI_Request>& requests);

/// Small all-reduce: gathers every rank's values on every rank and reduces them in rank order.
class MpiGatheredReduce final : public MpiOperation {
 public:
  MpiGatheredReduce(const OperationName& name, const MpiChannel& channel,
                    std::shared_ptr<MpiProgress> progress, Buffer values, Reduction reduction);
  ~MpiGatheredReduce() override;

 protected:
  bool next_stage(std::vector<MPI_Request>& requests) override;

 private:
  MpiChannel channel_;
  std::shared_ptr<MpiProgress> progress_;
  Buffer values_;
  Reduction reduction_;
  Scratch scratch_;
  bool posted_ = false;
};

/// Reduce-scatter in rank order, and with `gather` also the all-gather that makes it an all-reduce.
/// Every rank sends its part r to rank r straight from `send`; the receiver takes one chunk of all
/// peers at a time into scratch and reduces it, so the extra memory is (size - 1) chunks, or own
/// parts where these are smaller: at most 32 MiB, or 32 KiB a peer beyond 1024 ranks.
class MpiPartedReduce final : public MpiOperation {
 public:
  struct Request {
    ConstBuffer send;                  ///< all parts, in rank order
    std::vector<std::int64_t> counts;  ///< elements of each part
    void* receive = nullptr;           ///< this rank's part; may be its place in `send`
    Reduction reduction = Reduction::kSum;
    std::byte* gather = nullptr;  ///< all parts in rank order; null: no all-gather
  };
  MpiPartedReduce(const OperationName& name, const MpiChannel& channel,
                  std::shared_ptr<MpiProgress> progress, Request request);
  ~MpiPartedReduce() override;

 protected:
  bool next_stage(std::vector<MPI_Request>& requests) override;

 private:
  enum class Stage { kBegin, kReduce, kGather, kDone };

  void post_sends();
  void post_receives(std::vector<MPI_Request>& requests);
  void reduce_chunk();
  void post_gather(std::vector<MPI_Request>& requests);
  std::byte* scratch_of(int peer) const;
  std::int64_t own_bytes() const;
  std::int64_t slot_bytes() const;  ///< of scratch for one peer

  MpiChannel channel_;
  std::shared_ptr<MpiProgress> progress_;
  Request request_;
  std::int64_t element_bytes_;
  std::int64_t chunk_bytes_;
  std::vector<std::int64_t> offsets_bytes_;  ///< of each part in `send`
  std::vector<MPI_Request> sends_;
  Scratch scratch_;
  std::int64_t reduced_bytes_ = 0;
  Stage stage_ = Stage::kBegin;
};

}  // namespace hetmoe
