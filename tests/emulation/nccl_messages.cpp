#include "tests/emulation/nccl_messages.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

namespace hetmoe::emulation {
namespace {

constexpr int kJoinTag = 1;

struct Join {
  int tag;
  int ranks;
  int rank;
};

struct Header {
  char operation[24];
  std::uint64_t sequence;
};

void check(int code) {
  if (code != MPI_SUCCESS) refuse("MPI code " + std::to_string(code));
}

int own_process() {
  int process = 0;
  check(MPI_Comm_rank(MPI_COMM_WORLD, &process));
  return process;
}

/// Sends and forgets.
void post(const void* from, std::size_t size_bytes, int process, int tag) {
  static auto* const kept = new std::deque<std::vector<std::byte>>;
  const auto* bytes = static_cast<const std::byte*>(from);
  std::vector<std::byte>& message = kept->emplace_back(bytes, bytes + size_bytes);
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Isend(message.data(), static_cast<int>(size_bytes), MPI_BYTE, process, tag,
                  MPI_COMM_WORLD, &request));
  check(MPI_Request_free(&request));
}

/// Who has come to the communicators whose ids this process has made: process by rank, -1: nobody.
std::map<int, std::vector<int>>& arrivals() {
  static auto* const instance = new std::map<int, std::vector<int>>;
  return *instance;
}

void arrive(const Join& join, int process) {
  std::vector<int>& processes = arrivals()[join.tag];
  if (processes.empty()) processes.assign(static_cast<std::size_t>(join.ranks), -1);
  if (processes.size() != static_cast<std::size_t>(join.ranks))
    refuse("ranks of one communicator say different sizes");
  int& place = processes.at(static_cast<std::size_t>(join.rank));
  if (place >= 0) refuse("two processes are rank " + std::to_string(join.rank));
  place = process;
}

}  // namespace

void refuse(const std::string& text) {
  std::fprintf(stderr, "emulated NCCL: %s\n", text.c_str());
  std::abort();
}

Meeting::Meeting(int tag, int root, int ranks, int rank) : tag_(tag), root_(root), ranks_(ranks) {
  const Join join{tag, ranks, rank};
  is_root_ = own_process() == root;
  if (is_root_)
    arrive(join, root);
  else
    post(&join, sizeof join, root, kJoinTag);
}

void Meeting::gather() {
  int there = 0;
  MPI_Status status;
  while (true) {
    check(MPI_Iprobe(MPI_ANY_SOURCE, kJoinTag, MPI_COMM_WORLD, &there, &status));
    if (there == 0) break;
    Join join{};
    check(MPI_Recv(&join, sizeof join, MPI_BYTE, status.MPI_SOURCE, kJoinTag, MPI_COMM_WORLD,
                   MPI_STATUS_IGNORE));
    arrive(join, status.MPI_SOURCE);
  }
  const std::vector<int>& processes = arrivals()[tag_];
  for (const int process : processes)
    if (process < 0) return;
  processes_ = processes;
  for (const int process : processes_)
    if (process != root_) post(processes_.data(), processes_.size() * sizeof(int), process, tag_);
}

bool Meeting::advance() {
  if (!processes_.empty()) return true;
  if (is_root_) {
    gather();
    return !processes_.empty();
  }
  int there = 0;
  check(MPI_Iprobe(root_, tag_, MPI_COMM_WORLD, &there, MPI_STATUS_IGNORE));
  if (there == 0) return false;
  processes_.resize(static_cast<std::size_t>(ranks_));
  check(MPI_Recv(processes_.data(), ranks_ * static_cast<int>(sizeof(int)), MPI_BYTE, root_, tag_,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE));
  return true;
}

void Transfers::begin_send(Moving& moving) {
  const Transfer& transfer = moving.transfer;
  Header header{};
  std::strncpy(header.operation, transfer.operation, sizeof header.operation - 1);
  header.sequence = transfer.sequence;
  moving.message.resize(sizeof header + transfer.size_bytes);
  std::memcpy(moving.message.data(), &header, sizeof header);
  if (transfer.size_bytes > 0)
    std::memcpy(moving.message.data() + sizeof header, transfer.device, transfer.size_bytes);
  // Synchronous: a send that nobody receives never ends.
  check(MPI_Issend(moving.message.data(), static_cast<int>(moving.message.size()), MPI_BYTE,
                   transfer.process, transfer.tag, MPI_COMM_WORLD, &moving.request));
}

bool Transfers::begin_receive(Moving& moving) {
  const Transfer& transfer = moving.transfer;
  int there = 0;
  MPI_Status status;
  check(MPI_Iprobe(transfer.process, transfer.tag, MPI_COMM_WORLD, &there, &status));
  if (there == 0) return false;
  int size = 0;
  check(MPI_Get_count(&status, MPI_BYTE, &size));
  const std::size_t sent = static_cast<std::size_t>(size) - sizeof(Header);
  if (sent != transfer.size_bytes)
    refuse(std::string(transfer.operation) + " expects " + std::to_string(transfer.size_bytes) +
           " bytes of process " + std::to_string(transfer.process) + ", which sends " +
           std::to_string(sent));
  moving.message.resize(static_cast<std::size_t>(size));
  check(MPI_Irecv(moving.message.data(), size, MPI_BYTE, transfer.process, transfer.tag,
                  MPI_COMM_WORLD, &moving.request));
  return true;
}

/// Messages of one peer are taken in the order in which they were asked for.
bool Transfers::has_earlier_receive(std::size_t index) const {
  const Transfer& transfer = moving_[index].transfer;
  for (std::size_t i = 0; i < index; ++i) {
    const Moving& earlier = moving_[i];
    if (!earlier.transfer.sends && !earlier.ended && earlier.transfer.process == transfer.process)
      return true;
  }
  return false;
}

bool Transfers::advance() {
  bool all = true;
  for (std::size_t i = 0; i < moving_.size(); ++i) {
    Moving& moving = moving_[i];
    if (moving.ended) continue;
    const Transfer& transfer = moving.transfer;
    if (moving.message.empty()) {
      if (transfer.sends)
        begin_send(moving);
      else if (has_earlier_receive(i) || !begin_receive(moving)) {
        all = false;
        continue;
      }
    }
    int done = 0;
    check(MPI_Test(&moving.request, &done, MPI_STATUS_IGNORE));
    moving.ended = done != 0;
    all = all && moving.ended;
    if (!moving.ended || transfer.sends) continue;
    Header header{};
    std::memcpy(&header, moving.message.data(), sizeof header);
    if (std::strcmp(header.operation, transfer.operation) != 0 ||
        header.sequence != transfer.sequence)
      refuse(std::string(transfer.operation) + " number " + std::to_string(transfer.sequence) +
             " meets " + header.operation + " number " + std::to_string(header.sequence) +
             " of process " + std::to_string(transfer.process));
    if (transfer.size_bytes > 0)
      std::memcpy(transfer.device, moving.message.data() + sizeof header, transfer.size_bytes);
  }
  return all;
}

/// MPI cannot take a message back: what it may still read or write stays.
Transfers::~Transfers() {
  static auto* const kept = new std::deque<std::vector<std::byte>>;
  for (Moving& moving : moving_) {
    if (moving.ended || moving.request == MPI_REQUEST_NULL) continue;
    MPI_Request_free(&moving.request);
    kept->push_back(std::move(moving.message));
  }
}

}  // namespace hetmoe::emulation
