#include "runtime/exporter/served_pages.h"

#include <chrono>
#include <exception>
#include <utility>

#include "core/base/check.h"

namespace hetmoe {
namespace {

/// Prometheus gives up after its interval: the second who asks waits no longer than that.
constexpr std::chrono::seconds kLongestTurn{2};

}  // namespace

std::shared_ptr<ServedPages::Entry> ServedPages::add(MetricsPage page) {
  auto entry = std::make_shared<Entry>();
  entry->page = std::move(page);
  const std::scoped_lock guard(mutex_);
  const bool is_new = entries_.emplace(entry->page.path, entry).second;
  HETMOE_CHECK(is_new, "the page ", entry->page.path, " is there already");
  return entry;
}

void ServedPages::end(const std::shared_ptr<Entry>& entry) {
  {
    const std::scoped_lock guard(mutex_);
    entries_.erase(entry->page.path);
  }
  const std::scoped_lock guard(entry->one_at_a_time);
  entry->has_ended = true;
}

Answer ServedPages::answer(const std::string& path) {
  std::shared_ptr<Entry> entry;
  {
    const std::scoped_lock guard(mutex_);
    const auto found = entries_.find(path);
    if (found == entries_.end()) return {.status = 404};
    entry = found->second;
  }
  const std::unique_lock guard(entry->one_at_a_time, kLongestTurn);
  if (!guard) return {.status = 503};
  if (entry->has_ended) return {.status = 404};
  try {
    return {.status = 200, .content_type = entry->page.content_type, .body = entry->page.body()};
  } catch (const std::exception&) {
    return {.status = 500};
  }
}

}  // namespace hetmoe
