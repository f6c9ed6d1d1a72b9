#include <cmath>
#include <cstddef>
#include <map>
#include <utility>

#include "runtime/report/story/line_file.h"
#include "runtime/report/story/story_parts.h"

namespace hetmoe {
namespace {

constexpr std::size_t kMostExperts = 1024;
constexpr std::size_t kMostRanks = 4096;

StoryStep step_of(const JsonLine& line) {
  StoryStep step;
  step.step = line.integer("step", 0);
  step.generation = static_cast<int>(line.integer("generation", 0) % 1'000'000'007);
  step.tokens = line.number("tokens");
  step.loss = line.number("loss");
  step.parameter_penalty = line.number("aux", "parameter_penalty");
  step.load_balance = line.number("aux", "load_balance");
  step.router_entropy = line.number("aux", "router_entropy");
  step.grad_norm = line.number("grad_norm");
  step.learning_rate = line.number("learning_rate");
  step.skipped = line.number("skipped");
  step.step_seconds = line.number("step_seconds");
  step.tokens_per_second = line.number("tokens_per_second");
  step.model_flops_per_second = line.number("model_flops_per_second");
  for (std::size_t i = 0; i < kPhaseNames.size(); ++i)
    step.phase_seconds[i] = line.number("phase_seconds", kPhaseNames[i].data());
  step.flops_max_over_mean = line.number("flops_max_over_mean");
  step.bytes_all_to_all = line.number("bytes_all_to_all");
  step.memory_bytes = line.number("memory_bytes");
  step.expert_tokens = line.numbers("expert_tokens", kMostExperts);
  step.rank_expert_flops = line.numbers("rank_expert_flops", kMostRanks);
  return step;
}

void note_repeated(RunStory& story, const StoryStep& replaced) {
  ++story.repeated_steps;
  if (std::isfinite(replaced.step_seconds)) story.repeated_seconds += replaced.step_seconds;
}

}  // namespace

void add_metrics(RunStory& story, const RunDirectory& directory) {
  std::map<std::int64_t, StoryStep> steps;
  std::map<std::int64_t, StoryEvaluation> evaluations;
  const LineFaults faults =
      for_each_object(directory.metrics_file(), [&](const JsonLine& line, std::streamoff) {
        const std::int64_t step = line.integer("step", 0);
        if (step < 1) return false;
        if (line.has("eval_loss")) {
          evaluations[step] = {step, line.number("eval_loss"), line.number("eval_bits_per_byte")};
          return true;
        }
        if (!line.has("loss")) return false;
        const auto [place, is_new] = steps.try_emplace(step);
        if (!is_new) note_repeated(story, place->second);
        place->second = step_of(line);
        return true;
      });
  for (auto& [number, step] : steps) story.steps.push_back(std::move(step));
  for (const auto& [number, evaluation] : evaluations) story.evaluations.push_back(evaluation);
  for (std::string& text : faults.texts("metrics.jsonl"))
    story.passed_over.push_back(std::move(text));
}

}  // namespace hetmoe
