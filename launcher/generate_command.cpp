#include "launcher/generate_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/data/tokenizer.h"
#include "launcher/prompt_source.h"
#include "launcher/settings_option.h"
#include "launcher/world.h"
#include "parallel/agreement.h"
#include "runtime/inference/checkpoint_tokenizer.h"
#include "runtime/inference/generation.h"
#include "runtime/inference/loaded_model.h"
#include "runtime/inference/text_stream.h"

namespace hetmoe {
namespace {

struct GenerateOptions {
  std::string checkpoint;  ///< or a run directory
  std::string prompt;
  std::string prompt_file;  ///< empty: `prompt`
  std::string tokenizer;    ///< empty: that of the run's text
  std::int64_t max_tokens = 64;
  Sampling sampling;
  std::uint64_t seed = 1;
  std::vector<std::string> settings;
  bool stream = false;     ///< even where there is no terminal
  bool no_stream = false;  ///< not even on one
  bool json = false;
};

/// What must be ready before MPI starts, or why it is not: other ranks are waiting to be told.
struct Prompt {
  std::string text;
  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<std::int32_t> tokens;
  std::exception_ptr error;
};

void encode_prompt(const GenerateOptions& options, Prompt& prompt) {
  prompt.text = read_prompt(options.prompt, options.prompt_file);
  prompt.tokenizer =
      tokenizer_of_checkpoint(options.checkpoint, options.settings, options.tokenizer);
  prompt.tokenizer->encode(prompt.text, prompt.tokens);
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
                    const Generation& generated) {
  const std::string text = continuation(*prompt.tokenizer, prompt.tokens, generated.tokens);
  const nlohmann::ordered_json out = {{"checkpoint", model.checkpoint().string()},
                                      {"step", model.step()},
                                      {"prompt", prompt.text},
                                      {"text", text},
                                      {"prompt_tokens", prompt.tokens},
                                      {"tokens", generated.tokens},
                                      {"ended", generated.ended},
                                      {"temperature", options.sampling.temperature},
                                      {"top_k", options.sampling.top_k},
                                      {"top_p", options.sampling.top_p},
                                      {"seed", options.seed}};
  // Text need not be UTF-8; JSON must.
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

bool streams(const GenerateOptions& options) {
  if (options.json || options.no_stream) return false;
  return options.stream || ::isatty(STDOUT_FILENO) != 0;
}

GenerationRequest request_of(const GenerateOptions& options, const Prompt& prompt) {
  return {.prompt = prompt.tokens,
          .max_tokens = options.max_tokens,
          .sampling = options.sampling,
          .seed = options.seed,
          .vocab_size = prompt.tokenizer->vocab_size(),
          .end_of_document = prompt.tokenizer->end_of_document()};
}

/// The first rank's part: what comes is printed as it comes, or all of it at the end.
void generate_and_print(const GenerateOptions& options, const Prompt& prompt, LoadedModel& model) {
  GenerationRequest request = request_of(options, prompt);
  TextStream stream(*prompt.tokenizer, prompt.tokens);
  std::string first = prompt.text;  // printed once the request has been found valid
  if (streams(options)) {
    request.on_token = [&](std::int32_t token) {
      std::cout << std::exchange(first, "") << stream.add(token) << std::flush;
    };
  }
  const Generation generated = generate(model, request);
  collectively(model.control(), [&] {
    if (streams(options)) {
      std::cout << first << stream.finish() << "\n" << std::flush;
    } else if (options.json) {
      std::cout << as_json(options, model, prompt, generated) << std::flush;
    } else {
      std::cout << prompt.text << continuation(*prompt.tokenizer, prompt.tokens, generated.tokens)
                << "\n"
                << std::flush;
    }
  });
}

void run_on(Communicator& world, const GenerateOptions& options, const Prompt& prompt) {
  const bool is_first = world.rank() == 0;
  collectively(world, [&] {
    if (is_first && prompt.error) std::rethrow_exception(prompt.error);
  });
  const SystemClock clock;
  LoadedModel model(options.checkpoint, options.settings, world, clock);
  if (is_first) {
    generate_and_print(options, prompt, model);
  } else {
    generate(model, {});
    collectively(model.control(), [] {});
  }
}

int run_generate_command(const GenerateOptions& options) {
  const Prompt prompt = prepare_prompt(options);
  return run_on_world([&](Communicator& world) { run_on(world, options, prompt); });
}

void add_sampling_options(CLI::App& command, GenerateOptions& options) {
  command
      .add_option("--temperature", options.sampling.temperature,
                  "Of the softmax that tokens are drawn from; 0: the likeliest token each time "
                  "(default: 1)")
      ->type_name("T")
      ->check(CLI::Range(0.0, 100.0));
  command
      .add_option("--top-k", options.sampling.top_k,
                  "Draw from the N likeliest tokens only; 0: from all (default: 0)")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 31));
  command
      .add_option("--top-p", options.sampling.top_p,
                  "Draw from the fewest tokens that are together as likely as P; 1: from all "
                  "(default: 1)")
      ->type_name("P")
      ->check(CLI::Range(1e-9, 1.0));
  command.add_option("--seed", options.seed, "Of the drawing (default: 1)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
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
  auto* prompt =
      command->add_option("--prompt", options->prompt, "Text to continue")->type_name("TEXT");
  auto* file = command
                   ->add_option("--prompt-file", options->prompt_file,
                                "File that holds it, without its last line end; -: standard input")
                   ->type_name("FILE|-")
                   ->excludes(prompt);
  command->add_option("--max-tokens", options->max_tokens, "Most tokens to add (default: 64)")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{0}, kLongestSequence));
  add_sampling_options(*command, *options);
  command
      ->add_option("--tokenizer", options->tokenizer,
                   "bytes, or the path of a SentencePiece model or tokenizer.json (default: that "
                   "of data.train)")
      ->type_name("bytes|PATH");
  add_parallel_settings(*command, options->settings);
  auto* stream = command->add_flag("--stream", options->stream,
                                   "Print the text as it comes (default: on a terminal)");
  command->add_flag("--no-stream", options->no_stream, "Print it at the end")->excludes(stream);
  command->add_flag("--json", options->json, "Print one JSON document")->excludes(stream);
  command->footer("Example:\n  hetmoe generate runs/a --prompt 'A dictionary is' --top-p 0.9");
  command->callback([options, prompt, file, &action] {
    if (prompt->count() + file->count() == 0) throw CLI::RequiredError("--prompt or --prompt-file");
    action = [options] { return run_generate_command(*options); };
  });
}

}  // namespace hetmoe
