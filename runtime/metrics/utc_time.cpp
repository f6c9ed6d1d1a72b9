#include "runtime/metrics/utc_time.h"

#include <cmath>
#include <ctime>
#include <iomanip>
#include <sstream>

namespace hetmoe {
namespace {

std::string utc_text(std::time_t seconds, const char* format) {
  std::tm parts = {};
  ::gmtime_r(&seconds, &parts);
  std::ostringstream text;
  text << std::put_time(&parts, format);
  return text.str();
}

}  // namespace

std::string iso8601_utc(double wall_seconds) {
  const double whole = std::floor(wall_seconds);
  const int milliseconds = static_cast<int>((wall_seconds - whole) * 1000.0);
  std::ostringstream text;
  text << utc_text(static_cast<std::time_t>(whole), "%Y-%m-%dT%H:%M:%S") << '.' << std::setw(3)
       << std::setfill('0') << milliseconds << 'Z';
  return text.str();
}

std::optional<double> seconds_of_iso8601(const std::string& text) {
  std::tm parts = {};
  std::istringstream in(text);
  in >> std::get_time(&parts, "%Y-%m-%dT%H:%M:%S");
  double fraction = 0;
  char end = 0;
  if (!in || in.peek() != '.' || !(in >> fraction >> end) || end != 'Z') return {};
  return static_cast<double>(::timegm(&parts)) + fraction;
}

std::string compact_utc(double wall_seconds) {
  return utc_text(static_cast<std::time_t>(std::floor(wall_seconds)), "%Y%m%d-%H%M%S");
}

}  // namespace hetmoe
