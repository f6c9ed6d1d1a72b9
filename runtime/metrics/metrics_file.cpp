#include "runtime/metrics/metrics_file.h"

#include <nlohmann/json.hpp>

namespace hetmoe {
namespace {

// Keeps the order of insertion, so that a line reads as the contract lists it. A non-finite number
// is dumped as null.
using Json = nlohmann::ordered_json;

// A line per step of many thousand ranks would soon be larger than the model.
constexpr std::size_t kMostRanksInALine = 64;

Json phase_seconds(const PhaseSeconds& phase) {
  return Json{{"data", phase.data},
              {"forward", phase.forward},
              {"dispatch_wait", phase.dispatch_wait},
              {"expert", phase.expert},
              {"combine_wait", phase.combine_wait},
              {"backward", phase.backward},
              {"gradients", phase.gradients},
              {"optimizer", phase.optimizer},
              {"parameters", phase.parameters},
              {"other", phase.other}};
}

}  // namespace

std::string metrics_line(const StepRecord& record) {
  Json line = {{"step", record.step},
               {"generation", record.generation},
               {"tokens", record.tokens},
               {"loss", record.loss},
               {"aux",
                {{"parameter_penalty", record.parameter_penalty},
                 {"load_balance", record.load_balance},
                 {"router_entropy", record.router_entropy}}},
               {"grad_norm", record.grad_norm},
               {"learning_rate", record.learning_rate},
               {"skipped", record.skipped},
               {"step_seconds", record.step_seconds},
               {"tokens_per_second", record.tokens_per_second},
               {"model_flops_per_second", record.model_flops_per_second},
               {"phase_seconds", phase_seconds(record.phase_seconds)},
               {"flops_max_over_mean", record.flops_max_over_mean},
               {"bytes_all_to_all", record.bytes.all_to_all()},
               {"bytes_gradients", record.bytes.gradients},
               {"bytes_parameters", record.bytes.parameters},
               {"bytes_parameters_hidden", record.bytes.parameters_hidden},
               {"bytes_dispatch", record.bytes.dispatch},
               {"bytes_combine", record.bytes.combine},
               {"bytes_other_node", record.bytes.other_node},
               {"layer_flops_max_over_mean", record.layer_flops_max_over_mean},
               {"expert_tokens", record.expert_tokens},
               {"memory_bytes", record.memory_bytes},
               {"device_memory_bytes", record.device_memory_bytes}};
  if (record.rank_expert_flops.size() <= kMostRanksInALine) {
    line["rank_expert_flops"] = record.rank_expert_flops;
  }
  return line.dump();
}

MetricsFile::MetricsFile(const std::filesystem::path& path) : file_(path) {}

void MetricsFile::write(const StepRecord& record) { file_.append_line(metrics_line(record)); }

void MetricsFile::write(const EvaluationRecord& record) {
  const Json line = {{"step", record.step},
                     {"generation", record.generation},
                     {"eval_loss", record.loss},
                     {"eval_tokens", record.tokens},
                     {"eval_bits_per_byte", record.bits_per_byte}};
  file_.append_line(line.dump());
}

}  // namespace hetmoe
