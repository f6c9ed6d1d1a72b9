#include "launcher/evaluate_tasks.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <iostream>
#include <memory>
#include <utility>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/data/tokenizer.h"
#include "core/files/atomic_file.h"
#include "launcher/task_report.h"
#include "launcher/world.h"
#include "parallel/agreement.h"
#include "runtime/inference/checkpoint_tokenizer.h"
#include "runtime/inference/loaded_model.h"
#include "runtime/inference/sequence_losses.h"
#include "runtime/tasks/task_file.h"
#include "runtime/tasks/task_requests.h"

namespace hetmoe {
namespace {

/// What must be ready before MPI starts, or why it is not: other ranks are waiting to be told.
struct Prepared {
  std::unique_ptr<Tokenizer> tokenizer;
  std::exception_ptr error;
};

Prepared prepare(const TaskOptions& options) {
  Prepared prepared;
  try {
    prepared.tokenizer =
        tokenizer_of_checkpoint(options.checkpoint, options.settings, options.tokenizer);
  } catch (...) {
    prepared.error = std::current_exception();
  }
  return prepared;
}

/// What needs no model is refused before one is loaded.
std::vector<AskedTask> read_tasks(const TaskOptions& options) {
  if (!options.items_path.empty()) require_writable(options.items_path);
  std::vector<AskedTask> asked;
  for (const std::string& path : options.tasks) asked.push_back({.task = read_task(path)});
  return asked;
}

class TaskEvaluation {
 public:
  /// `asked`: rank 0's, of the others none.
  TaskEvaluation(const TaskOptions& options, std::vector<AskedTask> asked, LoadedModel& model)
      : options_(options),
        asked_(std::move(asked)),
        model_(model),
        window_(options.max_length > 0
                    ? options.max_length
                    : std::min(model.config().train.sequence_length, kLongestSequence - 1)) {}

  /// Rank 0 alone.
  void encode(Tokenizer& tokenizer) {
    for (AskedTask& one : asked_) one.requests = encode_requests(one.task, tokenizer, window_);
  }

  /// Collective. The log-likelihoods are rank 0's.
  void ask() {
    std::vector<Continuation> continuations;
    for (const AskedTask& one : asked_) {
      for (const TaskRequest& request : one.requests) {
        continuations.push_back({.tokens = request.tokens, .scored = request.scored});
      }
    }
    const std::vector<double> losses = continuation_losses(model_, std::move(continuations));
    if (!std::ranges::all_of(losses, [](double loss) { return std::isfinite(loss); })) {
      throw AgreedError(ExitCode::kNonFinite, model_.checkpoint().string() +
                                                  ": a loss is not finite: the model has diverged");
    }
    std::size_t next = 0;
    for (AskedTask& one : asked_) {
      for (std::size_t i = 0; i < one.requests.size(); ++i) {
        one.log_likelihoods.push_back(-losses[next++]);
      }
    }
  }

  /// Rank 0 alone.
  void tell() const {
    if (!options_.items_path.empty()) {
      write_file_atomically(options_.items_path, item_lines(asked_));
    }
    std::cout << (options_.json ? as_json(report()) : as_text(report())) << std::flush;
  }

 private:
  TaskReport report() const {
    return {.checkpoint = model_.checkpoint().string(),
            .step = model_.step(),
            .window = window_,
            .tasks = asked_};
  }

  const TaskOptions& options_;
  std::vector<AskedTask> asked_;
  LoadedModel& model_;
  std::int64_t window_;
};

void run_on(Communicator& world, const TaskOptions& options, const Prepared& prepared) {
  const bool is_first = world.rank() == 0;
  std::vector<AskedTask> asked;
  collectively(world, [&] {
    if (!is_first) return;
    if (prepared.error) std::rethrow_exception(prepared.error);
    asked = read_tasks(options);
  });
  const SystemClock clock;
  LoadedModel model(options.checkpoint, options.settings, world, clock);
  TaskEvaluation evaluation(options, std::move(asked), model);
  collectively(world, [&] {
    if (is_first) evaluation.encode(*prepared.tokenizer);
  });
  evaluation.ask();
  collectively(world, [&] {
    if (is_first) evaluation.tell();
  });
}

}  // namespace

int run_evaluate_tasks(const TaskOptions& options) {
  const Prepared prepared = prepare(options);
  return run_on_world([&](Communicator& world) { run_on(world, options, prepared); });
}

}  // namespace hetmoe
