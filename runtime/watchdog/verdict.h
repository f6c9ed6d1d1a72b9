#pragma once

#include <string>
#include <vector>

#include "runtime/watchdog/rank_report.h"

namespace hetmoe {

/// What holds a job up, from what its ranks have reported.
struct Verdict {
  ReportedWait wait;        ///< the collective that others wait for; no operation: nobody waits
  std::vector<int> silent;  ///< ranks without a report: stopped, dead, cut off from the folder
  /// Ranks that have not come to the collective and wait for nobody; if there are none of either
  /// kind, those that have not come since they wait elsewhere.
  std::vector<int> behind;
};

/// `reports`: of some ranks out of `size`. Names a collective that a silent rank is missing from;
/// or else one that a rank misses which computes meanwhile; or else one that ranks miss which wait
/// themselves. Of several the one waited for longest. Pure.
Verdict find_verdict(const std::vector<RankReport>& reports, int size);

/// "all_to_all_v number 57 on dispatch in step 12 was waited for 120.4 s; no sign of life from
/// rank 2; not there: rank 1 (in no collective for 119 s)". `reports`: the same.
std::string verdict_text(const Verdict& verdict, const std::vector<RankReport>& reports);

/// "rank 2", "ranks 0, 3, 4"; beyond eight their number.
std::string ranks_text(const std::vector<int>& ranks);

/// "all_to_all_v number 57 on dispatch in step 12".
std::string collective_text(const ReportedWait& wait);

}  // namespace hetmoe
