#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "core/tensor/work_clock.h"
#include "parallel/communicator/communicator.h"

namespace hetmoe {

/// Times work that all ranks do together: in training they share memory bandwidth, caches and
/// clock rates, so a rank that is timed while others rest looks too fast.
class Measurement {
 public:
  /// `control` must outlive this and carries nothing else during a call.
  Measurement(Communicator& control, std::unique_ptr<WorkClock> clock)
      : control_(control), clock_(std::move(clock)) {}
  /// Of work on the host. `clock` must outlive this, too.
  Measurement(Communicator& control, const Clock& clock)
      : Measurement(control, make_host_work_clock(clock)) {}

  /// Seconds that one call takes; on a GPU the host waits for its end.
  double seconds_of(const std::function<void()>& work) const;

  /// One run of the work; gives the seconds of its parts, always equally many, which sum to what
  /// the run takes.
  using Parts = std::function<std::vector<double>()>;

  /// Median of each part over repetitions, and of those the slowest rank's: at every layer of
  /// training the ranks wait for one another, so that is the pace of all of them. The first run is
  /// a warm-up (kernels are compiled then) and does not count. All ranks repeat equally often,
  /// until `seconds` have passed on the slowest, at least once. Collective. The same result on all
  /// ranks.
  std::vector<double> medians(double seconds, const Parts& parts);
  /// The same for pieces of work, each a part. A GPU is given all repetitions one after another, as
  /// a step gives it its work, and the host waits once for all of them.
  std::vector<double> medians_of(double seconds, const std::vector<std::function<void()>>& pieces);
  double median(double seconds, const std::function<void()>& work);

 private:
  /// [repetitions][parts]
  using Repeat = std::function<std::vector<std::vector<double>>(int repetitions)>;
  std::vector<double> medians_of_repeated(double seconds, const Repeat& repeat);
  /// Largest of each value over ranks.
  std::vector<double> slowest(std::vector<double> values);

  Communicator& control_;
  std::unique_ptr<WorkClock> clock_;
};

}  // namespace hetmoe
