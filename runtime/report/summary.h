#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hetmoe {

/// What one rank holds of the experts, all layers together, and the memory it needs.
struct RankPlanRow {
  int rank = 0;
  int slices = 0;
  std::int64_t expert_parameters = 0;
  double flops_ratio = 0;             ///< predicted share of all expert FLOPs, 0..1
  std::int64_t state_bytes = 0;       ///< parameters, gradients, masters, moments
  std::int64_t activation_bytes = 0;  ///< of one microbatch, an estimate
};

/// Threads of the ranks and the cores they may run on: what their affinity masks say.
struct CoreUse {
  int hosts = 1;
  int least_threads = 1;  ///< of a rank
  int most_threads = 1;
  int least_cores = 1;  ///< that a rank may use
  int most_cores = 1;
  int most_sharing = 1;  ///< ranks that may use a rank's cores, it included; 1: all are bound apart
};

/// One source of training tokens and what a whole run takes of it.
struct DataSourceRow {
  std::string name;
  std::string format;       ///< "Megatron uint16"
  std::int64_t tokens = 0;  ///< that it holds
  double weight_ratio = 1;  ///< its share of the sequences, 0..1
  std::int64_t taken_tokens = 0;
  double epochs = 0;
};

/// What will run, for the header. Filled by the trainer before step 1.
struct RunSummary {
  std::string config_name;
  std::string run_directory;
  int num_layers = 0;
  std::int64_t hidden_size = 0;
  int num_heads = 0;
  std::int64_t vocab_size = 0;
  std::vector<std::int64_t> expert_widths;  ///< of one layer
  std::string router;                       ///< "top-2" or "top-p 0.6"
  std::int64_t total_parameters = 0;
  std::int64_t active_parameters = 0;  ///< per token, average over experts
  bool active_is_bound = false;        ///< Top-P: as many as an unsure router takes
  int ranks = 1;
  int expert_groups = 1;
  std::int64_t tokens_per_step = 0;
  std::int64_t steps = 0;
  std::string precision;
  CoreUse cores;
  std::string device;
  std::int64_t gradient_bytes = 0;        ///< per step to their owners, all ranks
  std::int64_t parameter_bytes = 0;       ///< per step from there, all ranks
  std::int64_t busiest_update_bytes = 0;  ///< both, the rank that sends most
  std::vector<DataSourceRow> sources;     ///< none: random tokens
  std::vector<RankPlanRow> plan;
};

/// One expert (summed over layers) over the whole run.
struct ExpertRow {
  std::int64_t width = 0;
  double token_ratio = 0;  ///< share of the (token, expert) choices, 0..1
};

/// How it ended, for the closing table. What was not measured stays empty and is not shown.
struct FinalSummary {
  std::int64_t steps = 0;
  std::int64_t tokens = 0;
  double elapsed_seconds = 0;
  std::int64_t vocab_size = 0;
  std::optional<double> evaluation_loss;  ///< nats per token, held-out text
  std::optional<double> unigram_entropy;  ///< nats per token, of the same held-out text
  std::optional<double> bits_per_byte;    ///< of the same held-out text
  double median_tokens_per_second = 0;
  double mean_flops_max_over_mean = 1;
  std::int64_t peak_memory_bytes = 0;         ///< largest rank
  std::int64_t peak_device_memory_bytes = 0;  ///< of its GPU, largest rank; 0: CPUs
  std::int64_t skipped_steps = 0;
  std::optional<double> effective_time_ratio;  ///< productive over wall time since the first start
  int starts = 1;
  std::vector<ExpertRow> experts;
  std::string run_directory;
};

}  // namespace hetmoe
