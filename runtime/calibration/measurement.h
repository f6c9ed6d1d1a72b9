#pragma once

#include <functional>
#include <vector>

#include "core/base/clock.h"
#include "parallel/communicator/communicator.h"

namespace hetmoe {

/// Times work that all ranks do together: in training they share memory bandwidth, caches and
/// clock rates, so a rank that is timed while others rest looks too fast.
class Measurement {
 public:
  /// Both must outlive this. `control` carries nothing else during a call.
  Measurement(Communicator& control, const Clock& clock) : control_(control), clock_(clock) {}

  /// Seconds that one call takes.
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
  /// The same for work that is one part.
  double median(double seconds, const std::function<void()>& work);

 private:
  /// Largest of each value over ranks.
  std::vector<double> slowest(std::vector<double> values);

  Communicator& control_;
  const Clock& clock_;
};

}  // namespace hetmoe
