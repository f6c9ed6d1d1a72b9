#include <algorithm>
#include <vector>

#include "core/base/check.h"
#include "core/gpu/stream.h"
#include "core/tensor/device.h"
#include "core/tensor/work_clock.h"

namespace hetmoe {
namespace {

class GpuWorkClock final : public WorkClock {
 public:
  std::size_t mark() override {
    if (marks_ == events_.size()) events_.emplace_back(gpu::OwnedEvent::Timing::kTimed);
    events_[marks_].record(compute_stream());
    return marks_++;
  }
  std::size_t marks() const override { return marks_; }
  double seconds_between(std::size_t earlier, std::size_t later) const override {
    HETMOE_CHECK(earlier <= later && later < marks_, "marks ", earlier, " and ", later, " of ",
                 marks_);
    return events_[later].seconds_since(events_[earlier]);
  }
  void wait() override { wait_for_gpu(); }
  bool reached(std::size_t mark) const override { return events_[mark].reached(); }
  void forget_before(std::size_t mark) override {
    std::rotate(events_.begin(), events_.begin() + static_cast<std::ptrdiff_t>(mark),
                events_.begin() + static_cast<std::ptrdiff_t>(marks_));
    marks_ -= mark;
  }

 private:
  std::vector<gpu::OwnedEvent> events_;  ///< used again and again
  std::size_t marks_ = 0;
};

}  // namespace

std::unique_ptr<WorkClock> make_gpu_work_clock() { return std::make_unique<GpuWorkClock>(); }

}  // namespace hetmoe
