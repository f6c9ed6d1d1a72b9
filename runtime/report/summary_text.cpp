#include "runtime/report/summary_text.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

constexpr std::size_t kColumns = 100;
constexpr std::size_t kBarColumns = 50;
/// Of more ranks or experts than this, the first and the last half of it are shown.
constexpr std::size_t kRows = 32;

void line(std::ostringstream& out, const std::string& label, const std::string& content) {
  const std::string prefix = "  " + left_aligned(label, 18);
  // A long path is the one thing that is not cut: it is there to be copied.
  out << prefix << content << '\n';
}

/// Calls show(index) for the rows that are shown, and tells how many are left out in between.
template <typename Show>
void rows(std::ostringstream& out, std::size_t count, Show show) {
  const std::size_t first = count <= kRows ? count : kRows / 2;
  for (std::size_t index = 0; index < first; ++index) show(index);
  if (first == count) return;
  out << "    ... " << count - kRows << " more\n";
  for (std::size_t index = count - kRows / 2; index < count; ++index) show(index);
}

std::string widths_text(const std::vector<std::int64_t>& widths) {
  if (widths.empty()) return "none";
  const auto [least, most] = std::minmax_element(widths.begin(), widths.end());
  std::string text = std::to_string(widths.size()) + " in each layer, ";
  if (*least == *most) return text + "all of width " + std::to_string(*least);
  std::string listed = "widths";
  for (const std::int64_t width : widths) listed.append(" ").append(std::to_string(width));
  if (listed.size() <= 48) return text + listed;
  return text + "widths from " + std::to_string(*least) + " to " + std::to_string(*most);
}

std::string source_text(const DataSourceRow& row) {
  return row.format + ", " + count_text(static_cast<double>(row.tokens)) + " tokens, " +
         fixed_text(row.epochs, 2) + " epochs";
}

/// One source in a line, several in a table.
void source_lines(std::ostringstream& out, const std::vector<DataSourceRow>& sources) {
  if (sources.empty()) return;
  if (sources.size() == 1) {
    line(out, "data", sources.front().name + " (" + source_text(sources.front()) + ")");
    return;
  }
  line(out, "data", "a mixture of " + std::to_string(sources.size()) + " sources");
  rows(out, sources.size(), [&](std::size_t index) {
    const DataSourceRow& row = sources[index];
    out << right_aligned(percent_text(row.weight_ratio), 18) << "  " << row.name << " ("
        << source_text(row) << ": " << count_text(static_cast<double>(row.taken_tokens))
        << " tokens)\n";
  });
}

void plan_table(std::ostringstream& out, const std::vector<RankPlanRow>& plan) {
  if (plan.empty()) return;
  out << "\n  rank   slices   expert parameters   share of FLOPs      state   activations\n";
  rows(out, plan.size(), [&](std::size_t index) {
    const RankPlanRow& row = plan[index];
    out << right_aligned(std::to_string(row.rank), 6)
        << right_aligned(std::to_string(row.slices), 9)
        << right_aligned(count_text(static_cast<double>(row.expert_parameters)), 20)
        << right_aligned(percent_text(row.flops_ratio), 17)
        << right_aligned(bytes_text(row.state_bytes), 11)
        << right_aligned("~" + bytes_text(row.activation_bytes), 14) << '\n';
  });
}

void expert_table(std::ostringstream& out, const std::vector<ExpertRow>& experts) {
  if (experts.empty()) return;
  double most = 0;
  for (const ExpertRow& row : experts) most = std::max(most, row.token_ratio);
  out << "\n  expert   width   share of tokens\n";
  rows(out, experts.size(), [&](std::size_t index) {
    const ExpertRow& row = experts[index];
    const double filled = most > 0 ? std::max(row.token_ratio, 0.0) / most * kBarColumns : 0.0;
    const std::size_t bar =
        std::isfinite(filled) ? static_cast<std::size_t>(std::llround(filled)) : 0;
    const std::string content =
        right_aligned(std::to_string(index), 8) + right_aligned(std::to_string(row.width), 8) +
        right_aligned(percent_text(row.token_ratio), 10) + "  " + std::string(bar, '#');
    out << content.substr(0, std::min(kColumns, content.find_last_not_of(' ') + 1)) << '\n';
  });
}

/// "7.625   (2.104 above the loss)": by how much the model beats a bound that needs no training.
std::string bound_text(double bound, const std::optional<double>& loss) {
  std::string text = right_aligned(fixed_text(bound, 3), 8);
  if (!loss || !std::isfinite(*loss)) return text;
  const double gap = bound - *loss;
  return text + "   (the loss is " + fixed_text(std::abs(gap), 3) +
         (gap >= 0 ? " below it)" : " above it)");
}

void loss_lines(std::ostringstream& out, const FinalSummary& summary) {
  if (summary.evaluation_loss) {
    line(out, "held-out loss",
         right_aligned(fixed_text(*summary.evaluation_loss, 3), 8) + "   nats per token");
  }
  if (summary.vocab_size > 0) {
    line(out, "ln(vocabulary)",
         bound_text(std::log(static_cast<double>(summary.vocab_size)), summary.evaluation_loss));
  }
  if (summary.unigram_entropy) {
    line(out, "unigram entropy", bound_text(*summary.unigram_entropy, summary.evaluation_loss));
  }
  if (summary.bits_per_byte) {
    line(out, "bits per byte", right_aligned(fixed_text(*summary.bits_per_byte, 3), 8));
  }
}

/// "4 cores", "2 to 4 cores".
std::string between_text(int least, int most, const std::string& thing) {
  const std::string count = std::to_string(most);
  return (least == most ? count : std::to_string(least) + " to " + count) + " " + thing +
         (most == 1 ? "" : "s");
}

std::string threads_text(const CoreUse& cores) {
  return between_text(cores.least_threads, cores.most_threads, "thread") + " per rank";
}

/// Where ranks may run, and whether one is in another's way.
std::string cores_text(const RunSummary& summary) {
  const CoreUse& use = summary.cores;
  const std::string cores = between_text(use.least_cores, use.most_cores, "core");
  const std::string hosts = use.hosts == 1 ? "" : " on " + std::to_string(use.hosts) + " hosts";
  if (summary.ranks == 1) return cores;
  if (use.most_sharing == 1) return "each rank bound to " + cores + " of its own" + hosts;
  return cores + " for " + (use.hosts == 1 && use.most_sharing == summary.ranks ? "" : "up to ") +
         std::to_string(use.most_sharing) + " ranks that share them" + hosts;
}

}  // namespace

std::string header_text(const RunSummary& summary) {
  std::ostringstream out;
  out << "hetmoe: " << summary.config_name << " on " << summary.ranks
      << (summary.ranks == 1 ? " rank\n" : " ranks\n");
  line(out, "model",
       std::to_string(summary.num_layers) + " layers, hidden size " +
           std::to_string(summary.hidden_size) + ", " + std::to_string(summary.num_heads) +
           " heads, vocabulary " + std::to_string(summary.vocab_size));
  line(out, "experts", widths_text(summary.expert_widths) + ", " + summary.router);
  if (summary.expert_groups > 1) {
    line(out, "expert groups",
         std::to_string(summary.expert_groups) + " of " +
             std::to_string(summary.ranks / summary.expert_groups) +
             (summary.ranks == summary.expert_groups ? " rank" : " ranks") +
             ", each with all experts");
  }
  line(out, "parameters",
       count_text(static_cast<double>(summary.total_parameters)) + " in total, " +
           (summary.active_is_bound ? "up to " : "") +
           count_text(static_cast<double>(summary.active_parameters)) + " active per token" +
           (summary.active_is_bound ? "" : " (average)"));
  const double tokens =
      static_cast<double>(summary.steps) * static_cast<double>(summary.tokens_per_step);
  line(out, "training",
       std::to_string(summary.steps) + " steps of " + std::to_string(summary.tokens_per_step) +
           " tokens, " + count_text(tokens) + " tokens in all");
  source_lines(out, summary.sources);
  line(out, "arithmetic",
       summary.precision + " on " + summary.device + ", " + threads_text(summary.cores));
  line(out, "cores", cores_text(summary));
  if (summary.ranks > 1) {
    line(out, "update traffic",
         bytes_text(summary.gradient_bytes) + " of gradients and " +
             bytes_text(summary.parameter_bytes) + " of parameters a step, of one rank " +
             bytes_text(summary.busiest_update_bytes));
  }
  line(out, "run directory", summary.run_directory);
  plan_table(out, summary.plan);
  return out.str();
}

std::string closing_text(const FinalSummary& summary) {
  std::ostringstream out;
  out << "done: " << summary.steps << " steps, " << count_text(static_cast<double>(summary.tokens))
      << " tokens in " << duration_text(summary.elapsed_seconds) << '\n';
  loss_lines(out, summary);
  line(out, "tokens/s",
       right_aligned(count_text(summary.median_tokens_per_second), 8) + "   (median)");
  line(out, "balance max/mean",
       right_aligned(fixed_text(summary.mean_flops_max_over_mean, 3), 8) +
           "   (expert FLOPs by rank, mean over steps)");
  line(out, "peak memory",
       right_aligned(bytes_text(summary.peak_memory_bytes), 8) + "   (largest rank)");
  if (summary.peak_device_memory_bytes > 0) {
    line(out, "peak GPU memory",
         right_aligned(bytes_text(summary.peak_device_memory_bytes), 8) + "   (largest rank)");
  }
  if (summary.starts > 1 && summary.effective_time_ratio) {
    line(out, "effective time",
         right_aligned(percent_text(*summary.effective_time_ratio), 8) +
             "   (steps that count, of the time since the first of " +
             std::to_string(summary.starts) + " starts)");
  }
  if (summary.skipped_steps > 0) {
    line(out, "skipped steps",
         right_aligned(std::to_string(summary.skipped_steps), 8) + "   (not finite)");
  }
  line(out, "run directory", summary.run_directory);
  expert_table(out, summary.experts);
  return out.str();
}

}  // namespace hetmoe
