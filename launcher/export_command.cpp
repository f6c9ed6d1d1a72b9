#include "launcher/export_command.h"

#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "core/base/error.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "runtime/exchange/model_export.h"
#include "runtime/inference/checkpoint_config.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

struct Options {
  std::string checkpoint;  ///< or a run directory
  std::string format = "huggingface";
  std::string out;
  ExportLayout layout = ExportLayout::kAuto;
  ExportType type = ExportType::kFp32;
  std::uint64_t most_shard_bytes = 5'000'000'000;
  std::string tokenizer;
  bool replace = false;
  bool json = false;
};

std::string as_json(const ExportedModel& exported, const Options& options) {
  const nlohmann::ordered_json out = {{"out", options.out},
                                      {"architecture", architecture_of(exported.external)},
                                      {"parameters", exported.parameters},
                                      {"stored_parameters", exported.stored_parameters},
                                      {"bytes", exported.bytes},
                                      {"files", exported.files},
                                      {"tokenizer_files", exported.tokenizer.files},
                                      {"tokenizer_note", exported.tokenizer.note}};
  return out.dump() + "\n";
}

std::string tokenizer_text(const ExportedTokenizer& tokenizer) {
  std::string text;
  for (const std::string& file : tokenizer.files) text += (text.empty() ? "" : ", ") + file;
  if (tokenizer.note.empty()) return text;
  return text.empty() ? tokenizer.note : text + " (" + tokenizer.note + ")";
}

std::string as_text(const ExportedModel& exported, const Options& options) {
  const bool native = exported.external == ExternalClass::kHetmoe;
  std::string text = "exported   " + options.out + "\nclass      " +
                     std::string(architecture_of(exported.external)) +
                     (native ? " (its code lies beside it: trust_remote_code=True)" : "");
  text += "\nparameters " + count_text(static_cast<double>(exported.parameters));
  if (exported.stored_parameters > exported.parameters) {
    text += ", with zeros " + count_text(static_cast<double>(exported.stored_parameters));
  }
  text += "\nweights    " + std::to_string(exported.files.size()) +
          (exported.files.size() == 1 ? " file, " : " files, ") + bytes_text(exported.bytes);
  return text + "\ntokenizer  " + tokenizer_text(exported.tokenizer) + "\n";
}

int run(const Options& options) {
  CheckpointReader checkpoint(resolve_checkpoint(options.checkpoint));
  checkpoint.verify();
  const RunConfig config =
      config_of_checkpoint(checkpoint.manifest().state.config, checkpoint.path(), {});
  const ExportedModel exported =
      export_model(checkpoint, config,
                   {.out = options.out,
                    .layout = options.layout,
                    .type = options.type,
                    .most_shard_bytes = static_cast<std::int64_t>(options.most_shard_bytes),
                    .tokenizer = options.tokenizer,
                    .replace = options.replace});
  std::cout << (options.json ? as_json(exported, options) : as_text(exported, options));
  return 0;
}

void add_forms(CLI::App& command, Options& options) {
  command.add_option("--format", options.format, "huggingface: for transformers (default)")
      ->type_name("NAME")
      ->check(CLI::IsMember({"huggingface"}));
  command
      .add_option("--layout", options.layout,
                  "padded: a class that transformers has, experts filled with zeros up to the "
                  "widest; native: true widths, any router, HyperMoE, code of our own; auto: "
                  "padded where a class computes the same (default)")
      ->type_name("NAME")
      ->transform(CLI::CheckedTransformer(
                      std::map<std::string, ExportLayout>{{"auto", ExportLayout::kAuto},
                                                          {"padded", ExportLayout::kPadded},
                                                          {"native", ExportLayout::kNative}},
                      CLI::ignore_case)
                      .description(""));
  command.add_option("--dtype", options.type, "fp32 (default) or bf16, rounded")
      ->type_name("NAME")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, ExportType>{{"fp32", ExportType::kFp32},
                                                                    {"bf16", ExportType::kBf16}})
              .description(""));
  command
      .add_option("--max-shard-size", options.most_shard_bytes,
                  "Most bytes of tensors in a file: 500MB, 5GB (default: 5GB)")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(true).description(""))
      ->check(CLI::Range(kLeastShardBytes, std::int64_t{1} << 50).description(""));
}

}  // namespace

void add_export_command(CLI::App& app, std::function<int()>& action) {
  auto* command =
      app.add_subcommand("export", "Write a checkpoint for Hugging Face's transformers");
  auto options = std::make_shared<Options>();
  command
      ->add_option("CHECKPOINT", options->checkpoint,
                   "A checkpoint's folder, or a run directory: its newest one")
      ->required()
      ->type_name("");
  command->add_option("--out", options->out, "Folder to make")->required()->type_name("DIR");
  add_forms(*command, *options);
  command
      ->add_option("--tokenizer", options->tokenizer,
                   "bytes, or the path of a SentencePiece model (default: that of data.train)")
      ->type_name("bytes|MODEL");
  command->add_flag("--force", options->replace, "Replace an exported model that is in DIR");
  command->add_flag("--json", options->json, "Print one JSON document");
  command->footer("Example:\n  hetmoe export runs/a --out exported/a");
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace hetmoe
