#include "parallel/communicator/nccl_communicator.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/error.h"
#include "parallel/communicator/collective_checks.h"
#include "parallel/communicator/nccl_operations.h"

namespace hetmoe {
namespace {

// Below this many gathered bytes an all-reduce is one message round; above it is cut into parts.
constexpr std::int64_t kGatheredReduceBytes = 64 << 10;
// What the dummy collectives of a group need.
constexpr std::int64_t kLeastScratchBytes = 64;

std::vector<DevicePart> parts_of(const void* base, std::span<const std::int64_t> counts,
                                 DataType type) {
  auto* pointer = static_cast<std::byte*>(const_cast<void*>(base));
  std::vector<DevicePart> parts;
  for (const std::int64_t count : counts) {
    parts.push_back({pointer, count * bytes_of(type)});
    pointer += parts.back().size_bytes;
  }
  return parts;
}

/// A group of one moves nothing to others, but orders the streams as any group does.
class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(std::unique_ptr<Communicator> control,
                   std::shared_ptr<NcclConnection> connection)
      : control_(std::move(control)),
        connection_(std::move(connection)),
        rank_(control_->rank()),
        size_(control_->size()) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  MemoryKind memory() const override { return MemoryKind::kDevice; }

  Pending all_reduce(Buffer values, Reduction reduction) override {
    check_reduction("all_reduce", values);
    if (values.count == 0) return {};
    const OperationName name = next("all_reduce");
    if (size_ == 1) return start(name, [] {});
    const std::int64_t gathered_bytes = values.count * bytes_of(values.type) * size_;
    if (gathered_bytes <= std::min(kGatheredReduceBytes, connection_->options().scratch_bytes))
      return start(name, [&] { reduce_gathered(*connection_, name, values, reduction); });
    PartedReduction request{.send = values, .counts = {}, .reduction = reduction};
    for (int peer = 0; peer < size_; ++peer)  // as even as it goes
      request.counts.push_back(values.count * (peer + 1) / size_ - values.count * peer / size_);
    request.gather = static_cast<std::byte*>(values.pointer);
    request.receive = request.gather + values.count * rank_ / size_ * bytes_of(values.type);
    return start(name, [&] { reduce_parts(*connection_, name, request); });
  }

  Pending reduce_scatter_v(ConstBuffer send, std::span<const std::int64_t> counts,
                           Buffer receive) override {
    check_reduction("reduce_scatter_v", send);
    check_reduction("reduce_scatter_v", receive);
    check_two_buffers("reduce_scatter_v", send, receive);
    check_parts("reduce_scatter_v", counts, size_, send.count);
    HETMOE_CHECK(receive.count == counts[own()], "reduce_scatter_v: receives ", receive.count,
                 " elements, counts say ", counts[own()]);
    const OperationName name = next("reduce_scatter_v");
    if (size_ == 1)
      return start_exchange(name, parts_of(send.pointer, counts, send.type),
                            parts_of(receive.pointer, counts, send.type));
    return start(name, [&] {
      reduce_parts(*connection_, name,
                   {.send = send,
                    .counts = {counts.begin(), counts.end()},
                    .receive = static_cast<std::byte*>(receive.pointer)});
    });
  }

  Pending all_gather_v(Buffer values, std::span<const std::int64_t> counts) override {
    check_buffer("all_gather_v", values);
    check_parts("all_gather_v", counts, size_, values.count);
    const std::vector<DevicePart> receives = parts_of(values.pointer, counts, values.type);
    const std::vector<DevicePart> sends(receives.size(), receives[own()]);
    return start_exchange(next("all_gather_v"), sends, receives);
  }

  Pending all_to_all_v(ConstBuffer send, std::span<const std::int64_t> send_counts, Buffer receive,
                       std::span<const std::int64_t> receive_counts) override {
    check_two_buffers("all_to_all_v", send, receive);
    check_parts("all_to_all_v (send)", send_counts, size_, send.count);
    check_parts("all_to_all_v (receive)", receive_counts, size_, receive.count);
    HETMOE_CHECK(send_counts[own()] == receive_counts[own()], "all_to_all_v: rank ", rank_,
                 " sends itself ", send_counts[own()], " elements and expects ",
                 receive_counts[own()]);
    return start_exchange(next("all_to_all_v"), parts_of(send.pointer, send_counts, send.type),
                          parts_of(receive.pointer, receive_counts, receive.type));
  }

  Pending broadcast(Buffer values, int root) override {
    check_buffer("broadcast", values);
    check_root("broadcast", root, size_);
    if (values.count == 0) return {};
    const OperationName name = next("broadcast");
    if (size_ == 1) return start(name, [] {});
    const DevicePart part{static_cast<std::byte*>(values.pointer),
                          values.count * bytes_of(values.type)};
    return start(name, [&] { hetmoe::broadcast(*connection_, name, part, root); });
  }

  void barrier() override { control_->barrier(); }

  std::unique_ptr<Communicator> split(int color, int key) override {
    return make_nccl_communicator(control_->split(color, key), connection_->options());
  }

  void progress() override {
    control_->progress();
    connection_->look();
  }

  [[noreturn]] void abort(const std::string& reason, int exit_code) override {
    connection_->options().groups->stop(reason);  // or this rank's device works on
    control_->abort(reason, exit_code);
    std::abort();  // GCC does not see through the pointer that this is not reached
  }

 private:
  std::size_t own() const { return static_cast<std::size_t>(rank_); }

  OperationName next(const char* operation) { return {operation, ++sequence_, rank_, size_}; }

  Pending start(const OperationName& name, const std::function<void()>& enqueue) {
    return NcclConnection::start(connection_, name, enqueue);
  }

  Pending start_exchange(const OperationName& name, const std::vector<DevicePart>& sends,
                         const std::vector<DevicePart>& receives) {
    return start(name, [&] { exchange(*connection_, name, sends, receives); });
  }

  std::unique_ptr<Communicator> control_;
  std::shared_ptr<NcclConnection> connection_;
  int rank_;
  int size_;
  std::int64_t sequence_ = 0;
};

/// Rank 0's, or its error on every rank.
ncclUniqueId agreed_id(Communicator& control) {
  struct Offer {
    ncclUniqueId id;
    ncclResult_t result;
  };
  Offer offer{};
  if (control.rank() == 0) offer.result = ncclGetUniqueId(&offer.id);
  control.broadcast({&offer, sizeof offer, DataType::kByte}, 0).wait();
  check_nccl("ncclGetUniqueId on rank 0", offer.result,
             {"creation", 0, control.rank(), control.size()}, nullptr);
  return offer.id;
}

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> control,
                                                     const NcclOptions& options) {
  HETMOE_CHECK(control->memory() == MemoryKind::kHost, "control traffic is the host's");
  HETMOE_CHECK(options.groups != nullptr && options.compute_stream, "groups or stream missing");
  HETMOE_CHECK(options.peers_in_a_group > 0, "peers in a group: ", options.peers_in_a_group);
  HETMOE_CHECK(options.scratch_bytes >= kLeastScratchBytes * control->size(), "scratch of ",
               options.scratch_bytes, " bytes for ", control->size(), " ranks");
  const OperationName name{"creation", 0, control->rank(), control->size()};
  const auto connection = std::make_shared<NcclConnection>(options, name.rank, name.size);
  if (name.size > 1) {
    connection->connect(agreed_id(*control));
    Pending touched =
        NcclConnection::start(connection, name, [&] { touch_all_ranks(*connection, name); });
    while (!touched.done()) sched_yield();
    touched.wait();
  }
  return std::make_unique<NcclCommunicator>(std::move(control), connection);
}

}  // namespace hetmoe
