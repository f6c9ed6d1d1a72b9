#include "runtime/tasks/task_requests.h"

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/error.h"
#include "runtime/tasks/python_text.h"

namespace hetmoe {
namespace {

/// At once to the tokenizer, which may be another process.
constexpr std::size_t kItemsAtOnce = 256;

using Tokens = std::vector<std::int32_t>;

/// The texts of some items: of each choice its context, then context and answer.
std::vector<std::string> texts_of(std::span<const TaskItem> items) {
  std::vector<std::string> texts;
  for (const TaskItem& item : items) {
    for (const TaskChoice& choice : item.choices) {
      const std::size_t space = trailing_space_bytes(choice.context);
      texts.push_back(choice.context.substr(0, choice.context.size() - space));
      texts.push_back(choice.context + " " + choice.text);
    }
  }
  return texts;
}

std::string place_of(const Task& task, const TaskItem& item, std::size_t choice) {
  return task.path + ": line " + std::to_string(item.line) + ": choice " + std::to_string(choice);
}

class Encoder {
 public:
  Encoder(const Task& task, const Tokenizer& tokenizer, std::int64_t window)
      : task_(task), end_of_document_(tokenizer.end_of_document()), window_(window) {}

  /// `whole`: of context and answer.
  TaskRequest join(Tokens context, const Tokens& whole, const std::string& place) const {
    const auto scored =
        static_cast<std::int64_t>(whole.size()) - static_cast<std::int64_t>(context.size());
    if (scored < 1) throw StorageError(place + ": adds no token to its context");
    if (scored > window_) {
      throw ConfigError(place + ": " + std::to_string(scored) +
                        " tokens, allowed: " + std::to_string(window_) + " (--max-length)");
    }
    TaskRequest request{.tokens = std::move(context), .scored = scored};
    if (request.tokens.empty()) request.tokens.push_back(prefix());
    request.tokens.insert(request.tokens.end(), whole.end() - scored, whole.end());
    cut(request);
    return request;
  }

 private:
  std::int32_t prefix() const {
    if (end_of_document_ >= 0) return end_of_document_;
    throw ConfigError(task_.path +
                      ": an item has no context, and the tokenizer no token that "
                      "ends a document to stand for it");
  }

  void cut(TaskRequest& request) const {
    const std::int64_t over = static_cast<std::int64_t>(request.tokens.size()) - window_ - 1;
    request.cut = over > 0;
    if (request.cut) request.tokens.erase(request.tokens.begin(), request.tokens.begin() + over);
  }

  const Task& task_;
  std::int32_t end_of_document_;
  std::int64_t window_;
};

}  // namespace

std::vector<TaskRequest> encode_requests(const Task& task, Tokenizer& tokenizer,
                                         std::int64_t window) {
  const Encoder encoder(task, tokenizer, window);
  std::vector<TaskRequest> requests;
  std::vector<Tokens> encoded;
  for (std::size_t begin = 0; begin < task.items.size(); begin += kItemsAtOnce) {
    const auto items =
        std::span(task.items).subspan(begin, std::min(kItemsAtOnce, task.items.size() - begin));
    const std::vector<std::string> texts = texts_of(items);
    tokenizer.encode(std::vector<std::string_view>(texts.begin(), texts.end()), encoded);
    std::size_t next = 0;
    for (const TaskItem& item : items) {
      for (std::size_t choice = 0; choice < item.choices.size(); ++choice, next += 2) {
        requests.push_back(encoder.join(std::move(encoded[next]), encoded[next + 1],
                                        place_of(task, item, choice)));
      }
    }
  }
  return requests;
}

}  // namespace hetmoe
