#include "launcher/import_command.h"

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/exchange/model_import.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

struct Options {
  std::string folder;
  std::string out;
  std::vector<std::int64_t> widths;
  int top_k = 2;
  std::uint64_t seed = 1;
  bool json = false;
};

std::string as_json(const ImportedModel& imported, const Options& options) {
  const nlohmann::ordered_json out = {{"out", options.out},
                                      {"model_type", model_type_of(imported.external)},
                                      {"parameters", imported.parameters},
                                      {"expert_widths", expert_widths(imported.model.experts)},
                                      {"tokenizer_files", imported.tokenizer_files}};
  return out.dump() + "\n";
}

std::string as_text(const ImportedModel& imported, const Options& options) {
  std::string text = "imported   " + options.out + ", a " +
                     std::string(model_type_of(imported.external)) + "\nparameters " +
                     count_text(static_cast<double>(imported.parameters)) + ", experts " +
                     std::to_string(imported.model.experts.count) + ", of a token " +
                     std::to_string(imported.model.router.top_k) + "\ntokenizer  ";
  for (std::size_t i = 0; i < imported.tokenizer_files.size(); ++i) {
    text += (i == 0 ? "" : ", ") + imported.tokenizer_files[i];
  }
  if (imported.tokenizer_files.empty()) text += "none";
  return text + "\ntrain      hetmoe train " + options.out + "/config.yaml --init " + options.out +
         " --set data.train=PREFIX\n";
}

int run(const Options& options) {
  ImportOptions request{.folder = options.folder, .out = options.out};
  if (!options.widths.empty()) {
    request.upcycling = Upcycling{options.widths, options.top_k, options.seed};
  }
  const ImportedModel imported = import_model(request);
  std::cout << (options.json ? as_json(imported, options) : as_text(imported, options));
  return 0;
}

}  // namespace

void add_import_command(CLI::App& app, std::function<int()>& action) {
  auto* command = app.add_subcommand(
      "import", "Take a Mixtral, Qwen3-MoE or dense LLaMA model of transformers for --init");
  auto options = std::make_shared<Options>();
  command
      ->add_option("MODEL", options->folder, "Folder with config.json and weights in safetensors")
      ->required()
      ->type_name("");
  command->add_option("--out", options->out, "Folder to make")->required()->type_name("DIR");
  auto* widths =
      command
          ->add_option("--upcycle-widths", options->widths,
                       "Cut a dense LLaMA's feed-forward into experts of these widths, a "
                       "starting point for training: 512,768,1024")
          ->type_name("N,...")
          ->delimiter(',')
          ->check(CLI::Range(std::int64_t{1}, kMostExpertWidth).description(""));
  command->add_option("--top-k", options->top_k, "Of the new experts, per token (default: 2)")
      ->type_name("K")
      ->check(CLI::Range(1, kMostExperts).description(""))
      ->needs(widths);
  command->add_option("--seed", options->seed, "Of the new routers (default: 1)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber)
      ->needs(widths);
  command->add_flag("--json", options->json, "Print one JSON document");
  command->footer(
      "Example:\n"
      "  hetmoe import models/mixtral-tiny --out imported\n"
      "  hetmoe train imported/config.yaml --init imported --set data.train=data/text/train");
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace hetmoe
