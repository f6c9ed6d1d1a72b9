#include "runtime/exporter/rank_series.h"

#include "runtime/exporter/exposition.h"

namespace hetmoe {

using namespace exposition;

struct RankSeries::Families {
  explicit Families(const Clock& wall_clock) : clock(wall_clock) {
    for (const Phase& phase : kPhases) {
      seconds_of_phase.push_back(&phases.Add({{"phase", phase.name}}));
    }
    for (const Direction& direction : kDirections) {
      bytes_of_direction.push_back(&all_to_all.Add({{"direction", direction.name}}));
    }
  }

  void add_load(const std::vector<std::vector<std::int64_t>>& load) {
    if (detail == nullptr) {
      detail = &counters(registry, "hetmoe_layer_expert_tokens_total",
                         "Tokens that selected the expert in the layer.");
    }
    tokens.resize(load.size());
    for (std::size_t layer = 0; layer < load.size(); ++layer) {
      for (std::size_t expert = 0; expert < load[layer].size(); ++expert) {
        if (tokens[layer].size() == expert) {
          tokens[layer].push_back(
              &detail->Add({{"layer", std::to_string(layer)}, {"expert", std::to_string(expert)}}));
        }
        exposition::add(*tokens[layer][expert], static_cast<double>(load[layer][expert]));
      }
    }
  }

  const Clock& clock;
  prometheus::Registry registry;
  prometheus::Gauge& step = gauge(registry, "hetmoe_rank_step", "Newest step of this rank.");
  prometheus::Gauge& last_step = gauge(registry, "hetmoe_rank_last_step_timestamp_seconds",
                                       "When this rank's newest step ended.");
  prometheus::Counter& steps =
      counter(registry, "hetmoe_rank_steps_total", "Steps since this rank started.");
  prometheus::Counter& step_seconds = counter(registry, "hetmoe_rank_step_seconds_total",
                                              "Seconds of this rank's steps, waiting included.");
  Counters& phases = counters(registry, "hetmoe_rank_phase_seconds_total",
                              "Seconds of this rank's steps by phase.");
  std::vector<prometheus::Counter*> seconds_of_phase;
  Counters& all_to_all = counters(registry, "hetmoe_rank_all_to_all_bytes_total",
                                  "Bytes of tokens sent to other ranks, towards experts and back.");
  std::vector<prometheus::Counter*> bytes_of_direction;
  prometheus::Counter& gradient_bytes =
      counter(registry, "hetmoe_rank_gradient_bytes_total",
              "Bytes of gradients sent to the owners of parameters.");
  prometheus::Counter& parameter_bytes =
      counter(registry, "hetmoe_rank_parameter_bytes_total",
              "Bytes of updated parameters sent by their owner.");
  prometheus::Counter& expert_flops =
      counter(registry, "hetmoe_rank_expert_flops_total",
              "Floating-point operations of experts, forward and backward.");
  prometheus::Gauge& memory = gauge(registry, "hetmoe_rank_resident_memory_peak_bytes",
                                    "Largest resident size of this rank so far.");
  prometheus::Gauge& device_memory =
      gauge(registry, "hetmoe_rank_device_memory_peak_bytes",
            "Most memory of its GPU that this rank has held so far; 0 on a CPU.");
  prometheus::Gauge& coordinator =
      gauge(registry, "hetmoe_rank_coordinator_reached", "1 while the coordinator answers.");
  Counters* detail = nullptr;
  std::vector<std::vector<prometheus::Counter*>> tokens;  ///< [layers][experts]
};

RankSeries::RankSeries(const Clock& clock) : families_(std::make_unique<Families>(clock)) {}
RankSeries::~RankSeries() = default;

void RankSeries::add(const RankStep& step) {
  Families& to = *families_;
  to.step.Set(static_cast<double>(step.step));
  to.last_step.Set(to.clock.wall_seconds());
  to.steps.Increment();
  exposition::add(to.step_seconds, step.step_seconds);
  double rest = step.step_seconds;
  for (std::size_t i = 0; i + 1 < std::size(kPhases); ++i) {
    const double seconds = step.phases.*kPhases[i].seconds;
    exposition::add(*to.seconds_of_phase[i], seconds);
    rest -= seconds;
  }
  exposition::add(*to.seconds_of_phase.back(), rest);
  for (std::size_t i = 0; i < std::size(kDirections); ++i) {
    exposition::add(*to.bytes_of_direction[i],
                    static_cast<double>(step.bytes.*kDirections[i].bytes));
  }
  exposition::add(to.gradient_bytes, static_cast<double>(step.bytes.gradients));
  exposition::add(to.parameter_bytes, static_cast<double>(step.bytes.parameters));
  exposition::add(to.expert_flops, step.expert_flops);
  to.memory.Set(static_cast<double>(step.memory_bytes));
  to.device_memory.Set(static_cast<double>(step.device_memory_bytes));
  if (step.load != nullptr) to.add_load(*step.load);
}

void RankSeries::set_coordinator_reached(bool is_reached) {
  families_->coordinator.Set(is_reached ? 1 : 0);
}

std::string RankSeries::text() const { return text_of(families_->registry); }

}  // namespace hetmoe
