#include "launcher/evaluate_command.h"

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "launcher/evaluate_tasks.h"
#include "launcher/settings_option.h"
#include "launcher/token_lists.h"
#include "launcher/world.h"
#include "parallel/agreement.h"
#include "runtime/inference/held_out_loss.h"
#include "runtime/inference/loaded_model.h"
#include "runtime/inference/sequence_losses.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

struct EvaluateOptions {
  std::string checkpoint;  ///< or a run directory
  std::string data;        ///< PREFIX of a token shard; empty: `tokens`
  std::string tokens;      ///< JSON
  std::optional<std::int64_t> max_tokens;
  TaskOptions of_tasks;  ///< if it names any
  std::vector<std::string> settings;
  bool json = false;
};

struct Evaluated {
  std::string checkpoint;
  EvaluationRecord record;
  std::vector<SequenceLoss> sequences;  ///< none of a token shard
};

EvaluationRecord sum_of(const std::vector<SequenceLoss>& sequences, std::int64_t step) {
  EvaluationRecord record;
  record.step = step;
  for (const SequenceLoss& sequence : sequences) {
    record.loss += sequence.loss_sum;
    record.tokens += sequence.tokens;
  }
  record.loss /= static_cast<double>(record.tokens);
  return record;
}

Evaluated evaluate_checkpoint(const EvaluateOptions& options, Communicator& world) {
  // What needs no model is refused before one is loaded.
  std::vector<std::vector<std::int32_t>> sequences;
  collectively(world, [&] {
    if (options.data.empty()) sequences = parse_token_lists(options.tokens);
  });
  const SystemClock clock;
  LoadedModel model(options.checkpoint, options.settings, world, clock);
  Evaluated evaluated;
  evaluated.checkpoint = model.checkpoint().string();
  if (options.data.empty()) {
    evaluated.sequences = sequence_losses(model, sequences);
    evaluated.record = sum_of(evaluated.sequences, model.step());
  } else {
    evaluated.record = held_out_loss(model, options.data, options.max_tokens);
  }
  if (!std::isfinite(evaluated.record.loss)) {
    throw AgreedError(ExitCode::kNonFinite,
                      evaluated.checkpoint + ": the loss is not finite: the model has diverged");
  }
  return evaluated;
}

std::string as_json(const Evaluated& evaluated) {
  const EvaluationRecord& record = evaluated.record;
  nlohmann::ordered_json out = {{"checkpoint", evaluated.checkpoint},
                                {"step", record.step},
                                {"loss", record.loss},
                                {"tokens", record.tokens}};
  if (record.bits_per_byte > 0) out["bits_per_byte"] = record.bits_per_byte;
  if (!evaluated.sequences.empty()) out["sequences"] = nlohmann::ordered_json::array();
  for (const SequenceLoss& sequence : evaluated.sequences) {
    out["sequences"].push_back({{"loss_sum", sequence.loss_sum}, {"tokens", sequence.tokens}});
  }
  // A path need not be UTF-8.
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string as_text(const Evaluated& evaluated) {
  const EvaluationRecord& record = evaluated.record;
  std::string text = evaluated.checkpoint + ", step " + std::to_string(record.step) + "\n" +
                     "loss " + fixed_text(record.loss, 4) + " nats per token, perplexity " +
                     fixed_text(std::exp(record.loss), 2);
  if (record.bits_per_byte > 0) {
    text += ", " + fixed_text(record.bits_per_byte, 3) + " bits per byte";
  }
  text += ", " + count_text(static_cast<double>(record.tokens)) + " tokens\n";
  for (std::size_t i = 0; i < evaluated.sequences.size(); ++i) {
    const SequenceLoss& sequence = evaluated.sequences[i];
    text += "  sequence " + std::to_string(i) + ": " + fixed_text(sequence.loss_sum, 4) +
            " nats over " + std::to_string(sequence.tokens) + " tokens\n";
  }
  return text;
}

int run_evaluate_command(const EvaluateOptions& options) {
  if (!options.of_tasks.tasks.empty()) {
    TaskOptions tasks = options.of_tasks;
    tasks.checkpoint = options.checkpoint;
    tasks.settings = options.settings;
    tasks.json = options.json;
    return run_evaluate_tasks(tasks);
  }
  return run_on_world([&](Communicator& world) {
    const Evaluated evaluated = evaluate_checkpoint(options, world);
    if (world.rank() != 0) return;
    std::cout << (options.json ? as_json(evaluated) : as_text(evaluated)) << std::flush;
  });
}

/// Gives --task.
CLI::Option* add_task_options(CLI::App& command, TaskOptions& options) {
  auto* task =
      command
          .add_option("--task", options.tasks,
                      "Multiple-choice items, one JSON object a line, in the form of HellaSwag, "
                      "PIQA, ARC, OpenBookQA, WinoGrande, BoolQ, SIQA, or {context, choices, "
                      "answer}; again for more")
          ->type_name("FILE.jsonl")
          ->expected(1)
          ->take_all()
          ->allow_extra_args(false);
  command
      .add_option("--tokenizer", options.tokenizer,
                  "bytes, or the path of a SentencePiece model or tokenizer.json (default: that of "
                  "data.train)")
      ->type_name("bytes|PATH")
      ->needs(task);
  command
      .add_option("--max-length", options.max_length,
                  "Longer items lose their beginning (default: train.sequence_length)")
      ->type_name("TOKENS")
      ->check(CLI::Range(std::int64_t{1}, kLongestSequence - 1))
      ->needs(task);
  command
      .add_option("--items", options.items_path,
                  "Write the log-likelihoods of every item as JSON lines")
      ->type_name("FILE")
      ->needs(task);
  return task;
}

}  // namespace

void add_evaluate_command(CLI::App& app, std::function<int()>& action) {
  auto* command = app.add_subcommand("evaluate",
                                     "The loss of a checkpoint on held-out tokens, or its score in "
                                     "tasks, alone or under mpirun or srun");
  auto options = std::make_shared<EvaluateOptions>();
  command
      ->add_option("CHECKPOINT", options->checkpoint,
                   "A checkpoint's folder, or a run directory: its newest one")
      ->required()
      ->type_name("");
  auto* data =
      command
          ->add_option("--data", options->data,
                       "Token shard, named like data.valid, read from its beginning in windows "
                       "of train.sequence_length, as training evaluates")
          ->type_name("PREFIX");
  auto* tokens = command
                     ->add_option("--tokens", options->tokens,
                                  "Sequences of token ids, each by itself: [[1, 2, 3], [4, 5]]")
                     ->type_name("JSON")
                     ->excludes(data);
  command
      ->add_option("--max-tokens", options->max_tokens,
                   "Of the shard, in whole windows; 0: all (default: evaluate.tokens of the run)")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 50))
      ->needs(data);
  auto* task = add_task_options(*command, options->of_tasks)->excludes(data)->excludes(tokens);
  add_parallel_settings(*command, options->settings);
  command->add_flag("--json", options->json, "Print one JSON document");
  command->footer(
      "Examples:\n"
      "  mpirun -np 2 hetmoe evaluate runs/a --data data/gcide/valid\n"
      "  hetmoe evaluate runs/a --task hellaswag.jsonl --task piqa.jsonl");
  command->callback([options, data, tokens, task, &action] {
    if (data->count() + tokens->count() + task->count() == 0) {
      throw CLI::RequiredError("--data, --tokens or --task");
    }
    action = [options] { return run_evaluate_command(*options); };
  });
}

}  // namespace hetmoe
