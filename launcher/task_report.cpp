#include "launcher/task_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/report/quantity_text.h"
#include "runtime/tasks/task_scores.h"

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;

std::string dumped(const Json& json) {
  // Paths need not be UTF-8; JSON must.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::int64_t cut_of(const AskedTask& one) {
  return std::ranges::count(one.requests, true, &TaskRequest::cut);
}

void add_accuracy(Json& out, const std::string& name, const Accuracy& accuracy) {
  out[name] = accuracy.mean;
  out[name + "_stderr"] = accuracy.standard_error ? Json(*accuracy.standard_error) : Json();
}

Json json_of(const AskedTask& one) {
  const TaskScore scored = score(one.task, one.log_likelihoods);
  Json out = {{"task", one.task.name},
              {"file", one.task.path},
              {"shape", name_of(one.task.shape)},
              {"items", one.task.items.size()},
              {"requests", one.requests.size()},
              {"truncated", cut_of(one)}};
  add_accuracy(out, "acc", scored.plain);
  add_accuracy(out, "acc_norm", scored.per_character);
  add_accuracy(out, "acc_bytes", scored.per_byte);
  return out;
}

std::string accuracy_columns(const Accuracy& accuracy) {
  const std::string error = accuracy.standard_error ? fixed_text(*accuracy.standard_error, 4) : "";
  return right_aligned(fixed_text(accuracy.mean, 4), 11) + right_aligned(error, 9);
}

std::string row_of(const AskedTask& one, const TaskScore& scored, std::size_t name_width) {
  return left_aligned(one.task.name, name_width) + "  " +
         left_aligned(name_of(one.task.shape), 10) +
         right_aligned(std::to_string(one.task.items.size()), 8) + accuracy_columns(scored.plain) +
         accuracy_columns(scored.per_character) + accuracy_columns(scored.per_byte) +
         right_aligned(std::to_string(cut_of(one)), 11) + "\n";
}

std::string table_of(std::span<const AskedTask> tasks) {
  std::size_t width = 4;
  for (const AskedTask& one : tasks) width = std::max(width, one.task.name.size());
  std::string text = left_aligned("task", width) +
                     "  shape        items        acc   stderr   acc_norm   stderr  acc_bytes   "
                     "stderr  truncated\n";
  double sum = 0;
  for (const AskedTask& one : tasks) {
    const TaskScore scored = score(one.task, one.log_likelihoods);
    sum += scored.plain.mean;
    text += row_of(one, scored, width);
  }
  if (tasks.size() == 1) return text;
  return text + left_aligned("mean", width + 20) +
         right_aligned(fixed_text(sum / static_cast<double>(tasks.size()), 4), 11) + "\n";
}

}  // namespace

std::string as_json(const TaskReport& report) {
  Json tasks = Json::array();
  for (const AskedTask& one : report.tasks) tasks.push_back(json_of(one));
  return dumped({{"checkpoint", report.checkpoint},
                 {"step", report.step},
                 {"window", report.window},
                 {"tasks", tasks}});
}

std::string as_text(const TaskReport& report) {
  std::string text = report.checkpoint + ", step " + std::to_string(report.step) + ", window of " +
                     std::to_string(report.window) + " tokens\n" + table_of(report.tasks);
  std::int64_t cut = 0;
  for (const AskedTask& one : report.tasks) cut += cut_of(one);
  if (cut == 0) return text;
  return text + std::to_string(cut) +
         " choices were longer than the window and lost their beginning (--max-length)\n";
}

std::string item_lines(std::span<const AskedTask> tasks) {
  std::string lines;
  for (const AskedTask& one : tasks) {
    std::size_t next = 0;
    for (const TaskItem& item : one.task.items) {
      Json tokens = Json::array();
      Json log_likelihoods = Json::array();
      Json truncated = Json::array();
      for (const std::size_t end = next + item.choices.size(); next < end; ++next) {
        tokens.push_back(one.requests[next].scored);
        log_likelihoods.push_back(one.log_likelihoods[next]);
        truncated.push_back(one.requests[next].cut);
      }
      lines += dumped({{"task", one.task.name},
                       {"line", item.line},
                       {"answer", item.answer},
                       {"log_likelihoods", log_likelihoods},
                       {"tokens", tokens},
                       {"truncated", truncated}});
    }
  }
  return lines;
}

}  // namespace hetmoe
