#pragma once

// Private: what a metrics server has to show, by path.
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "runtime/exporter/metrics_server.h"

namespace hetmoe {

struct Answer {
  int status = 200;
  std::string content_type;
  std::string body;
};

/// Pages come and go while others ask for them. Every call: any thread.
class ServedPages {
 public:
  struct Entry {
    MetricsPage page;
    std::mutex mutex;
    std::condition_variable freed;
    bool is_busy = false;  ///< somebody makes the body
    bool has_ended = false;
  };

  std::shared_ptr<Entry> add(MetricsPage page);
  /// Waits for a body that is being made; the page is not asked again.
  void end(const std::shared_ptr<Entry>& entry);

  /// 404 for no page, 503 where others have asked for two seconds, 500 where the page throws.
  Answer answer(const std::string& path);

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
};

/// A page for as long as this lives.
class MetricsServer::Serving {
 public:
  Serving(std::shared_ptr<ServedPages> pages, MetricsPage page)
      : pages_(std::move(pages)), entry_(pages_->add(std::move(page))) {}
  ~Serving() { pages_->end(entry_); }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

 private:
  std::shared_ptr<ServedPages> pages_;
  std::shared_ptr<ServedPages::Entry> entry_;
};

}  // namespace hetmoe
