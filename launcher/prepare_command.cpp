#include "launcher/prepare_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/base/clock.h"
#include "core/data/prepare.h"
#include "launcher/prepare_progress_line.h"

namespace hetmoe {
namespace {

double bytes_per_token(const SplitSize& split) {
  if (split.tokens == 0) return 0;
  return static_cast<double>(split.raw_bytes) / static_cast<double>(split.tokens);
}

nlohmann::ordered_json as_json(const SplitSize& split) {
  return {{"documents", split.documents},
          {"tokens", split.tokens},
          {"raw_bytes", split.raw_bytes},
          {"bytes_per_token", bytes_per_token(split)}};
}

void print_row(const char* name, const SplitSize& split) {
  std::printf("%-6s %12lld %14lld %14lld %10.2f\n", name, static_cast<long long>(split.documents),
              static_cast<long long>(split.tokens), static_cast<long long>(split.raw_bytes),
              bytes_per_token(split));
}

int run_prepare_command(const PrepareOptions& options, bool json) {
  const SystemClock clock;
  PrepareProgressLine line(clock, ::isatty(STDERR_FILENO) != 0);
  const PrepareSummary summary = prepare(options, [&](const PrepareProgress& progress) {
    std::fputs(line.next(progress).c_str(), stderr);
  });
  std::fputs(line.end().c_str(), stderr);
  if (json) {
    const nlohmann::ordered_json out = {{"out", options.out_directory},
                                        {"vocab_size", summary.vocab_size},
                                        {"train", as_json(summary.train)},
                                        {"valid", as_json(summary.valid)},
                                        {"skipped_lines", summary.skipped_lines}};
    std::cout << out.dump() << "\n";
    return 0;
  }
  std::printf("%-6s %12s %14s %14s %10s\n", "shard", "documents", "tokens", "raw bytes",
              "bytes/token");
  print_row("train", summary.train);
  print_row("valid", summary.valid);
  if (summary.skipped_lines > 0) {
    std::printf("%lld lines of JSON were not valid and were skipped\n",
                static_cast<long long>(summary.skipped_lines));
  }
  std::printf("vocabulary of %lld; train with data.train=%s/train data.valid=%s/valid\n",
              static_cast<long long>(summary.vocab_size), options.out_directory.c_str(),
              options.out_directory.c_str());
  return 0;
}

void add_input_options(CLI::App& command, PrepareOptions& options) {
  command
      .add_option("INPUT", options.inputs,
                  "Files, or folders of files: text or JSON lines, plain, gzip or zstd")
      ->required()
      ->type_name("");
  command
      .add_option("--input-format", options.input_format,
                  "text, json-lines (a document each) or auto: by content (default: auto)")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"auto", "text", "json-lines"}));
  command
      .add_option("--json-field", options.json_field,
                  "What holds the document in a line of JSON (default: text)")
      ->type_name("NAME");
  command.add_flag("--skip-invalid", options.skip_invalid,
                   "Count lines of JSON that are not valid instead of stopping there");
  command
      .add_option("--document-separator", options.document_separator,
                  "Of text: file (one document each; default), blank-line, unindented-line (as in "
                  "dictionaries), or the text of a line")
      ->type_name("KIND");
  command
      .add_option("--max-document-bytes", options.max_document_bytes,
                  "Longer documents are cut (default: 16 MiB)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
}

void add_work_options(CLI::App& command, PrepareOptions& options) {
  command.add_option("--workers", options.workers, "Threads that encode (default: the cores)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  command
      .add_option_function<std::int64_t>(
          "--save-every",
          [&options](std::int64_t mebibytes) { options.save_every_bytes = mebibytes << 20; },
          "MiB of text between points that an interrupted run goes on from (default: 128)")
      ->type_name("MIB")
      ->check(CLI::Range(1, 1 << 20));
}

}  // namespace

void add_prepare_command(CLI::App& data, std::function<int()>& action) {
  auto* command = data.add_subcommand("prepare", "Turn text or JSON lines into token shards");
  auto options = std::make_shared<PrepareOptions>();
  auto json = std::make_shared<bool>(false);
  add_input_options(*command, *options);
  command->add_option("--out", options->out_directory, "Folder for the train and valid shards")
      ->required()
      ->type_name("DIR");
  auto* tokenizer = command
                        ->add_option("--tokenizer", options->tokenizer,
                                     "bytes, or the path of a SentencePiece model, of a "
                                     "tokenizer.json or of a folder with one (default: bytes)")
                        ->type_name("bytes|PATH");
  command
      ->add_option("--end-of-document", options->end_of_document,
                   "Token of a tokenizer.json that ends documents (default: the eos_token named "
                   "beside it, <|endoftext|> or </s>)")
      ->type_name("TOKEN");
  command
      ->add_option("--train-vocabulary", options->train_vocabulary,
                   "Train a SentencePiece model of this many tokens on the inputs first")
      ->type_name("N")
      ->check(CLI::PositiveNumber)
      ->excludes(tokenizer);
  command
      ->add_option("--valid-fraction", options->valid_fraction,
                   "Part of the documents held out (default: 0.05)")
      ->type_name("FRACTION")
      ->check(CLI::Range(0.0, 0.5));
  command
      ->add_option("--seed", options->seed, "Of the split and the tokenizer's sample (default: 1)")
      ->type_name("N");
  add_work_options(*command, *options);
  command->add_flag("--force", options->overwrite,
                    "Replace a result in DIR, or what another command left unfinished");
  command->add_flag("--json", *json, "Print the result as one JSON document");
  command->footer(
      "Interrupted, it goes on when the same command is given again.\n"
      "Examples:\n"
      "  hetmoe data prepare text/*.txt --out data/text --train-vocabulary 2048\n"
      "  hetmoe data prepare corpus/*.jsonl.zst --out data/corpus --tokenizer tokenizer.model");
  command->callback([options, json, &action] {
    if (options->tokenizer.empty() && options->train_vocabulary == 0) options->tokenizer = "bytes";
    action = [options, json] { return run_prepare_command(*options, *json); };
  });
}

}  // namespace hetmoe
