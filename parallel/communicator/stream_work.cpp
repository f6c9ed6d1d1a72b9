#include "parallel/communicator/stream_work.h"

#include <algorithm>
#include <utility>

namespace hetmoe {
namespace {

// So many operations may be under way before the next one asks the device which have ended.
constexpr std::size_t kFewUnderWay = 64;

}  // namespace

std::shared_ptr<StreamWork::Started> StreamWork::place_for(const OperationName& name) {
  if (under_way_.size() >= kFewUnderWay) forget_ended();
  const auto is_free = [](const auto& started) { return started.use_count() == 1; };
  const auto found = std::find_if(ended_.begin(), ended_.end(), is_free);
  std::shared_ptr<Started> started;
  if (found == ended_.end()) {
    started = std::make_shared<Started>();
  } else {
    started = std::move(*found);
    ended_.erase(found);
    started->asked_for.reset();
  }
  started->name = name;
  return started;
}

void StreamWork::add(std::shared_ptr<Started> started) {
  if (under_way_.empty()) oldest_since_ = std::chrono::steady_clock::now();
  under_way_.push_back(std::move(started));
}

void StreamWork::ask_for(const Started& started) {
  for (const std::shared_ptr<Started>& one : under_way_) {
    if (one->name.sequence > started.name.sequence) return;
    if (!one->asked_for) one->asked_for = std::chrono::steady_clock::now();
  }
}

void StreamWork::forget_ended() {
  while (!under_way_.empty() && under_way_[0]->ended.reached()) {
    ended_.push_back(std::move(under_way_[0]));
    under_way_.pop_front();
    oldest_since_ = std::chrono::steady_clock::now();
  }
}

const StreamWork::Started* StreamWork::overdue(double limit_seconds) {
  if (!is_late(limit_seconds)) return nullptr;
  forget_ended();
  return is_late(limit_seconds) ? oldest() : nullptr;
}

bool StreamWork::is_late(double limit_seconds) const {
  if (under_way_.empty() || !under_way_[0]->asked_for) return false;
  const Time since = std::max(*under_way_[0]->asked_for, oldest_since_);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count() >
         limit_seconds;
}

}  // namespace hetmoe
