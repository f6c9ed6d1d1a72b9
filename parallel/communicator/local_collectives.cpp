#include <cstring>
#include <string_view>

#include "core/base/check.h"
#include "parallel/communicator/local_group.h"
#include "parallel/communicator/rank_order_reduction.h"

namespace hetmoe {
namespace {

std::string describe(const LocalMeeting& meeting, std::size_t rank, const std::string& what) {
  return detail::concatenate("rank ", rank, " calls ", meeting.by_rank[rank]->operation, what);
}

std::string counts_text(const std::vector<std::int64_t>& counts) {
  std::string text = "[";
  for (const std::int64_t count : counts)
    text += (text.size() > 1 ? ", " : "") + std::to_string(count);
  return text + "]";
}

// The part of a contribution that must be equal on all ranks.
std::string signature(const LocalContribution& c) {
  const std::string_view operation = c.operation;
  std::string text = detail::concatenate(" of type ", static_cast<int>(c.send.type));
  if (operation == "all_reduce")
    text += detail::concatenate(", reduction ", static_cast<int>(c.reduction), ", count ",
                                c.send.count);
  if (operation == "reduce_scatter_v" || operation == "all_gather_v")
    text += ", counts " + counts_text(c.send_counts);
  if (operation == "broadcast")
    text += detail::concatenate(", root ", c.root, ", count ", c.send.count);
  return text;
}

std::string find_all_to_all_mismatch(const LocalMeeting& meeting) {
  for (std::size_t from = 0; from < meeting.by_rank.size(); ++from) {
    for (std::size_t to = 0; to < meeting.by_rank.size(); ++to) {
      const std::int64_t sent = meeting.by_rank[from]->send_counts[to];
      const std::int64_t expected = meeting.by_rank[to]->receive_counts[from];
      if (sent != expected)
        return detail::concatenate("all_to_all_v: rank ", from, " sends ", sent,
                                   " elements to rank ", to, ", which expects ", expected);
    }
  }
  return {};
}

const std::byte* bytes(const void* pointer) { return static_cast<const std::byte*>(pointer); }
std::byte* bytes(void* pointer) { return static_cast<std::byte*>(pointer); }

std::int64_t offset_bytes(const std::vector<std::int64_t>& counts, std::size_t part,
                          DataType type) {
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < part; ++i) offset += counts[i];
  return offset * bytes_of(type);
}

void copy(void* to, const void* from, std::int64_t count, DataType type) {
  if (count > 0) std::memcpy(to, from, static_cast<std::size_t>(count * bytes_of(type)));
}

void move_all_reduce(const LocalMeeting& meeting) {
  std::vector<const void*> sources;
  for (const auto& c : meeting.by_rank) sources.push_back(c->send.pointer);
  const LocalContribution& first = *meeting.by_rank[0];
  reduce_in_rank_order(first.send.type, first.reduction, sources, first.receive.pointer,
                       first.send.count);
  for (const auto& c : meeting.by_rank)
    if (c->receive.pointer != first.receive.pointer)
      copy(c->receive.pointer, first.receive.pointer, first.send.count, first.send.type);
}

void move_reduce_scatter(const LocalMeeting& meeting) {
  for (std::size_t to = 0; to < meeting.by_rank.size(); ++to) {
    const LocalContribution& receiver = *meeting.by_rank[to];
    const std::int64_t offset = offset_bytes(receiver.send_counts, to, receiver.send.type);
    if (receiver.receive.count == 0) continue;
    std::vector<const void*> sources;
    for (const auto& c : meeting.by_rank) sources.push_back(bytes(c->send.pointer) + offset);
    reduce_in_rank_order(receiver.send.type, Reduction::kSum, sources, receiver.receive.pointer,
                         receiver.receive.count);
  }
}

void move_all_gather(const LocalMeeting& meeting) {
  for (std::size_t from = 0; from < meeting.by_rank.size(); ++from) {
    const LocalContribution& sender = *meeting.by_rank[from];
    const std::int64_t offset = offset_bytes(sender.send_counts, from, sender.send.type);
    for (std::size_t to = 0; to < meeting.by_rank.size(); ++to)
      if (to != from && sender.send_counts[from] > 0)
        copy(bytes(meeting.by_rank[to]->receive.pointer) + offset,
             bytes(sender.receive.pointer) + offset, sender.send_counts[from], sender.send.type);
  }
}

void move_all_to_all(const LocalMeeting& meeting) {
  for (std::size_t from = 0; from < meeting.by_rank.size(); ++from) {
    for (std::size_t to = 0; to < meeting.by_rank.size(); ++to) {
      const LocalContribution& sender = *meeting.by_rank[from];
      const LocalContribution& receiver = *meeting.by_rank[to];
      if (sender.send_counts[to] == 0) continue;
      const DataType type = sender.send.type;
      copy(bytes(receiver.receive.pointer) + offset_bytes(receiver.receive_counts, from, type),
           bytes(sender.send.pointer) + offset_bytes(sender.send_counts, to, type),
           sender.send_counts[to], type);
    }
  }
}

void move_broadcast(const LocalMeeting& meeting) {
  const auto root = static_cast<std::size_t>(meeting.by_rank[0]->root);
  for (std::size_t to = 0; to < meeting.by_rank.size(); ++to)
    if (to != root)
      copy(meeting.by_rank[to]->receive.pointer, meeting.by_rank[root]->send.pointer,
           meeting.by_rank[to]->receive.count, meeting.by_rank[to]->receive.type);
}

}  // namespace

std::string find_mismatch(const LocalMeeting& meeting) {
  const LocalContribution& first = *meeting.by_rank[0];
  for (std::size_t rank = 1; rank < meeting.by_rank.size(); ++rank) {
    const LocalContribution& other = *meeting.by_rank[rank];
    const bool same_operation = std::string_view(first.operation) == other.operation;
    if (!same_operation || signature(first) != signature(other))
      return describe(meeting, 0, signature(first)) + ", " +
             describe(meeting, rank, signature(other));
  }
  if (std::string_view(first.operation) == "all_to_all_v") return find_all_to_all_mismatch(meeting);
  return {};
}

void move_contributions(const LocalMeeting& meeting) {
  const std::string_view operation = meeting.by_rank[0]->operation;
  if (operation == "all_reduce") return move_all_reduce(meeting);
  if (operation == "reduce_scatter_v") return move_reduce_scatter(meeting);
  if (operation == "all_gather_v") return move_all_gather(meeting);
  if (operation == "all_to_all_v") return move_all_to_all(meeting);
  if (operation == "broadcast") return move_broadcast(meeting);
}

}  // namespace hetmoe
