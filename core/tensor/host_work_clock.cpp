#include <vector>

#include "core/tensor/work_clock.h"

namespace hetmoe {
namespace {

class HostWorkClock final : public WorkClock {
 public:
  explicit HostWorkClock(const Clock& clock) : clock_(clock) {}

  std::size_t mark() override {
    seconds_.push_back(clock_.monotonic_seconds());
    return seconds_.size() - 1;
  }
  std::size_t marks() const override { return seconds_.size(); }
  double seconds_between(std::size_t earlier, std::size_t later) const override {
    return seconds_.at(later) - seconds_.at(earlier);
  }
  void wait() override {}
  bool reached(std::size_t) const override { return true; }
  void forget_before(std::size_t mark) override {
    seconds_.erase(seconds_.begin(), seconds_.begin() + static_cast<std::ptrdiff_t>(mark));
  }

 private:
  const Clock& clock_;
  std::vector<double> seconds_;
};

}  // namespace

std::unique_ptr<WorkClock> make_host_work_clock(const Clock& clock) {
  return std::make_unique<HostWorkClock>(clock);
}

}  // namespace hetmoe
