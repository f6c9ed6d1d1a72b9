#include "launcher/generate_command.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/data/tokenizer.h"
#include "launcher/settings_option.h"
#include "launcher/world.h"
#include "parallel/agreement.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "runtime/inference/checkpoint_config.h"
#include "runtime/inference/generation.h"
#include "runtime/inference/loaded_model.h"
#include "runtime/inference/run_tokenizer.h"

namespace hetmoe {
namespace {

struct GenerateOptions {
  std::string checkpoint;  ///< or a run directory
  std::string prompt;
  std::string tokenizer;  ///< empty: that of the run's text
  std::int64_t max_tokens = 64;
  double temperature = 1;
  std::uint64_t seed = 1;
  std::vector<std::string> settings;
  bool json = false;
};

/// What must be ready before MPI starts, or why it is not: other ranks are waiting to be told.
struct Prompt {
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<std::int32_t> tokens;
  std::exception_ptr error;
};

void encode_prompt(const GenerateOptions& options, Prompt& prompt) {
  if (options.prompt.empty()) {
    throw ConfigError("--prompt: empty, allowed: text of at least one token");
  }
  const CheckpointReader checkpoint(resolve_checkpoint(options.checkpoint));
  const RunConfig config =
      config_of_checkpoint(checkpoint.manifest().state.config, checkpoint.path(), options.settings);
  prompt.tokenizer = tokenizer_of_run(config, options.tokenizer);
  prompt.tokenizer->encode(options.prompt, prompt.tokens);
}

Prompt prepare_prompt(const GenerateOptions& options) {
  Prompt prompt;
  try {
    encode_prompt(options, prompt);
  } catch (...) {
    prompt.error = std::current_exception();
  }
  return prompt;
}

/// A decoder of pieces may treat the first piece of a text in its own way, so prompt and
/// continuation are decoded together.
std::string continuation(Tokenizer& tokenizer, const std::vector<std::int32_t>& prompt,
                         const std::vector<std::int32_t>& generated) {
  std::vector<std::int32_t> all = prompt;
  all.insert(all.end(), generated.begin(), generated.end());
  const std::string text = tokenizer.decode(all);
  const std::string begin = tokenizer.decode(prompt);
  return text.starts_with(begin) ? text.substr(begin.size()) : tokenizer.decode(generated);
}

std::string as_json(const GenerateOptions& options, const LoadedModel& model, const Prompt& prompt,
                    const Generation& generated, const std::string& text) {
  const nlohmann::ordered_json out = {{"checkpoint", model.checkpoint().string()},
                                      {"step", model.step()},
                                      {"prompt", options.prompt},
                                      {"text", text},
                                      {"prompt_tokens", prompt.tokens},
                                      {"tokens", generated.tokens},
                                      {"ended", generated.ended},
                                      {"temperature", options.temperature},
                                      {"seed", options.seed}};
  // Text need not be UTF-8; JSON must.
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void generate_and_print(const GenerateOptions& options, Prompt& prompt, Communicator& world) {
  const bool is_first = world.rank() == 0;
  collectively(world, [&] {
    if (is_first && prompt.error) std::rethrow_exception(prompt.error);
  });
  const SystemClock clock;
  LoadedModel model(options.checkpoint, options.settings, world, clock);
  GenerationRequest request{.prompt = prompt.tokens,
                            .max_tokens = options.max_tokens,
                            .temperature = options.temperature,
                            .seed = options.seed};
  if (is_first) {
    request.vocab_size = prompt.tokenizer->vocab_size();
    request.end_of_document = prompt.tokenizer->end_of_document();
  }
  const Generation generated = generate(model, request);
  collectively(world, [&] {
    if (!is_first) return;
    const std::string text = continuation(*prompt.tokenizer, prompt.tokens, generated.tokens);
    std::cout << (options.json ? as_json(options, model, prompt, generated, text)
                               : options.prompt + text + "\n")
              << std::flush;
  });
}

int run_generate_command(const GenerateOptions& options) {
  Prompt prompt = prepare_prompt(options);
  return run_on_world([&](Communicator& world) { generate_and_print(options, prompt, world); });
}

}  // namespace

void add_generate_command(CLI::App& app, std::function<int()>& action) {
  auto* command = app.add_subcommand("generate", "Continue a text, alone or under mpirun or srun");
  auto options = std::make_shared<GenerateOptions>();
  command
      ->add_option("CHECKPOINT", options->checkpoint,
                   "A checkpoint's folder, or a run directory: its newest one")
      ->required()
      ->type_name("");
  command->add_option("--prompt", options->prompt, "Text to continue")
      ->required()
      ->type_name("TEXT");
  command->add_option("--max-tokens", options->max_tokens, "Most tokens to add (default: 64)")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{0}, kLongestSequence));
  command
      ->add_option("--temperature", options->temperature,
                   "Of the softmax that tokens are drawn from; 0: the likeliest token each time "
                   "(default: 1)")
      ->type_name("T")
      ->check(CLI::Range(0.0, 100.0));
  command->add_option("--seed", options->seed, "Of the drawing (default: 1)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--tokenizer", options->tokenizer,
                   "bytes, or the path of a SentencePiece model (default: that of data.train)")
      ->type_name("bytes|MODEL");
  add_parallel_settings(*command, options->settings);
  command->add_flag("--json", options->json, "Print one JSON document");
  command->footer("Example:\n  hetmoe generate runs/a --prompt 'A dictionary is'");
  command->callback(
      [options, &action] { action = [options] { return run_generate_command(*options); }; });
}

}  // namespace hetmoe
