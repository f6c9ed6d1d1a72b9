#include "runtime/exporter/served_pages.h"

#include <chrono>
#include <exception>
#include <utility>

#include "core/base/check.h"

namespace hetmoe {
namespace {

/// Prometheus gives up after its interval: the second who asks waits no longer than that.
constexpr std::chrono::seconds kLongestTurn{2};

Answer answer_of(const MetricsPage& page) {
  try {
    return {.status = 200, .content_type = page.content_type, .body = page.body()};
  } catch (const std::exception&) {
    return {.status = 500};
  }
}

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
  std::unique_lock lock(entry->mutex);
  entry->freed.wait(lock, [&] { return !entry->is_busy; });
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
  std::unique_lock lock(entry->mutex);
  if (!entry->freed.wait_for(lock, kLongestTurn, [&] { return !entry->is_busy; })) {
    return {.status = 503};
  }
  if (entry->has_ended) return {.status = 404};
  entry->is_busy = true;
  lock.unlock();
  Answer answer = answer_of(entry->page);
  lock.lock();
  entry->is_busy = false;
  entry->freed.notify_all();
  return answer;
}

}  // namespace hetmoe
