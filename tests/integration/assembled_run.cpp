#include "tests/integration/assembled_run.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <tuple>

#include "parallel/communicator/local_communicator.h"
#include "runtime/trainer/initial_plan.h"

namespace hetmoe {
namespace {

/// Replaces an expert by pieces that end at `ends`, the first on `first_rank`, the others on the
/// ranks that follow.
void cut(LayerPlacement& layer, int expert, const std::vector<std::int64_t>& ends, int first_rank,
         int ranks) {
  std::erase_if(layer.slices, [&](const PlacedSlice& slice) { return slice.expert == expert; });
  std::int64_t begin = 0;
  for (std::size_t piece = 0; piece < ends.size(); ++piece) {
    layer.slices.push_back({.expert = expert,
                            .rank = (first_rank + static_cast<int>(piece)) % ranks,
                            .begin = begin,
                            .end = ends[piece]});
    begin = ends[piece];
  }
  std::sort(layer.slices.begin(), layer.slices.end(), [](const auto& a, const auto& b) {
    return std::tie(a.expert, a.begin, a.rank) < std::tie(b.expert, b.begin, b.rank);
  });
}

/// Ends of `pieces` pieces whose sizes are about as 1, 2, 3...
std::vector<std::int64_t> unequal_pieces(std::int64_t width, int pieces) {
  std::vector<std::int64_t> ends;
  const std::int64_t parts = pieces * (pieces + 1) / 2;
  for (int piece = 1; piece <= pieces; ++piece) {
    ends.push_back(width * (piece * (piece + 1) / 2) / parts);
  }
  return ends;
}

}  // namespace

AssembledRun::AssembledRun(const RunConfig& config, Communicator& world, const Placement& placement)
    : config_(config),
      traffic_(world, configured_groups(config_, world.size())),
      data_(open_training_data(config_, /*count_unigrams=*/false)),
      parts_(config_, traffic_, placement, *data_.train, clock_,
             Ownership::initial_masters(config.train.seed)) {
  at::set_num_threads(1);
}

Placement whole_experts(const RunConfig& config, int ranks) {
  Placement placement;
  run_ranks(ranks, [&](Communicator& world) {
    Plan plan = make_initial_plan(config, configured_groups(config, world.size()), world);
    if (world.rank() == 0) placement = std::move(plan.placement);
  });
  return placement;
}

Placement with_cut_experts(const RunConfig& config, int ranks) {
  const auto widths = expert_widths(config.model.experts);
  const auto [narrowest, widest] = std::minmax_element(widths.begin(), widths.end());
  Placement placement = whole_experts(config, ranks);
  for (std::size_t layer = 0; layer < placement.layers.size(); ++layer) {
    const int first_rank = static_cast<int>(layer) % ranks;
    cut(placement.layers[layer], static_cast<int>(widest - widths.begin()),
        unequal_pieces(*widest, ranks), first_rank, ranks);
    cut(placement.layers[layer], static_cast<int>(narrowest - widths.begin()),
        unequal_pieces(*narrowest, 2), first_rank, ranks);
  }
  return placement;
}

std::vector<StepOutcome> outcomes_of_run(const RunConfig& config, const Placement& placement,
                                         int ranks, std::int64_t steps,
                                         const std::vector<Move>& moves) {
  std::vector<StepOutcome> outcomes;
  run_ranks(ranks, [&](Communicator& world) {
    AssembledRun run(config, world, placement);
    for (std::int64_t number = 1; number <= steps; ++number) {
      StepOutcome outcome = run.step(number);
      if (world.rank() == 0) outcomes.push_back(std::move(outcome));
      for (const Move& move : moves) {
        if (move.after_step == number) run.migrate(move.placement);
      }
    }
  });
  return outcomes;
}

}  // namespace hetmoe
