#include "runtime/metrics/run_name.h"

#include <iomanip>
#include <random>
#include <sstream>

#include "core/base/check.h"
#include "runtime/metrics/utc_time.h"

namespace hetmoe {

std::string new_run_name(std::string_view config_name, const Clock& clock) {
  HETMOE_CHECK(config_name.find('/') == std::string_view::npos, "config name '", config_name, "'");
  std::random_device random;
  std::ostringstream name;
  name << (config_name.empty() ? "run" : config_name) << '-' << compact_utc(clock.wall_seconds())
       << '-' << std::hex << std::setw(4) << std::setfill('0') << (random() & 0xffffU);
  return name.str();
}

}  // namespace hetmoe
