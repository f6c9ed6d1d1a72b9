#pragma once

// Without MPI's retired C++ bindings, which want a library of their own.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace hetmoe::emulation {

/// Ends the process: what the real NCCL would not survive or would hang on.
[[noreturn]] void refuse(const std::string& text);

/// All processes of a communicator, found by its id.
class Meeting {
 public:
  /// `tag`: of the id. `root`: the process that made it.
  Meeting(int tag, int root, int ranks, int rank);
  /// Whether all have come. Never blocks.
  bool advance();
  const std::vector<int>& processes() const { return processes_; }  ///< by rank

 private:
  void gather();

  int tag_;
  int root_;
  int ranks_;
  bool is_root_ = false;
  std::vector<int> processes_;
};

/// One message between this process's device and another's. A send ends when it is received.
struct Transfer {
  bool sends = false;
  std::byte* device = nullptr;
  std::size_t size_bytes = 0;
  int process = 0;
  int tag = 0;
  const char* operation = "";  ///< of static storage
  std::uint64_t sequence = 0;  ///< of a collective: the same on both sides
};

/// All that one launch moves, staged through the host: MPI never sees the device's memory.
class Transfers {
 public:
  void add(const Transfer& transfer) { moving_.push_back({transfer, {}, MPI_REQUEST_NULL}); }
  std::size_t size() const { return moving_.size(); }
  /// Whether all have ended. To be called as work of the device. Never blocks.
  bool advance();
  ~Transfers();
  Transfers() = default;
  Transfers(Transfers&&) = default;

 private:
  struct Moving {
    Transfer transfer;
    std::vector<std::byte> message;
    MPI_Request request;
    bool ended = false;
  };
  static void begin_send(Moving& moving);
  static bool begin_receive(Moving& moving);
  bool has_earlier_receive(std::size_t index) const;

  std::deque<Moving> moving_;
};

}  // namespace hetmoe::emulation
