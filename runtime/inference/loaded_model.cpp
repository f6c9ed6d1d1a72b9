#include "runtime/inference/loaded_model.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/base/check.h"
#include "core/model/decoder.h"
#include "core/model/key_value_cache.h"
#include "core/model/parameter_store.h"
#include "core/model/workload.h"
#include "core/tensor/device.h"
#include "parallel/agreement.h"
#include "parallel/communicator/nccl_communicator.h"
#include "parallel/dispatch/placed_mixture.h"
#include "parallel/placement/held_slices.h"
#include "parallel/placement/plan_json.h"
#include "parallel/placement/planner.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "runtime/inference/checkpoint_config.h"
#include "runtime/inference/checkpoint_parameters.h"
#include "runtime/trainer/compute_choice.h"
#include "runtime/trainer/configured_products.h"
#include "runtime/trainer/dispatch_nodes.h"
#include "runtime/trainer/initial_plan.h"
#include "runtime/trainer/process_memory.h"
#include "runtime/trainer/resume.h"

namespace hetmoe {
namespace {

/// With precision resolved. What the choice says about sequences per microbatch is for training, so
/// it is asked with one for each rank.
struct Computed {
  RunConfig config;
  bool on_gpu = false;
};
Computed with_compute_choice(RunConfig config, Communicator& control, const Clock& clock) {
  RunConfig asked = config;
  asked.train.global_batch = control.size();
  asked.train.microbatches = 1;
  keep_freed_memory();
  const ComputeChoice choice = choose_compute(asked, control, clock);
  config.train.precision = choice.precision;
  return {std::move(config), choice.device.on_gpu};
}

/// Slices for the loads that training saw last, without cluster, replicas or plan file: those were
/// for the ranks of the run. Rank 0 plans, the others take its bytes.
Placement place(RunConfig config, const ExpertGroups& groups, const Loads& loads,
                Communicator& control) {
  config.placement.cluster.clear();
  config.placement.replicas = 0;
  std::string text;
  collectively(control, [&] {
    if (control.rank() != 0) return;
    PlanProblem problem = uniform_problem(config, groups);
    take_loads(loads, groups.count, problem);
    text = write_plan(plan(problem, PlanStrategy::kSlices));
  });
  return read_plan(broadcast_text(control, std::move(text), 0)).placement;
}

at::ScalarType compute_type(const RunConfig& config) {
  return config.train.precision == Precision::kBf16 ? at::kBFloat16 : at::kFloat;
}

std::unique_ptr<Communicator> dispatch_of(Communicator& world, const ExpertGroups& groups,
                                          bool on_gpu, DeviceGroups& devices) {
  auto dispatch = world.split(groups.group_of(world.rank()), world.rank());
  if (!on_gpu) return dispatch;
  return make_nccl_communicator(std::move(dispatch),
                                {.compute_stream = compute_stream, .groups = &devices});
}

/// What a checkpoint says, before a model is made of it.
struct Saved {
  CheckpointReader reader;
  RunConfig config;
  ExpertGroups groups;

  explicit Saved(CheckpointReader reader_in) : reader(std::move(reader_in)) {}
};

/// Collective. The path and the configuration are rank 0's, so that no two ranks compute different
/// models. All files are read once for their digests: a loss of damaged weights would look like
/// one.
std::unique_ptr<Saved> open(const std::filesystem::path& path,
                            const std::vector<std::string>& settings, Communicator& world) {
  ResumePoint point = open_named(path.string(), world);
  auto saved = std::make_unique<Saved>(std::move(*point.checkpoint));
  const std::string yaml = broadcast_text(world, saved->reader.manifest().state.config, 0);
  collectively(world, [&] {
    saved->config = config_of_checkpoint(yaml, saved->reader.path(), settings);
    saved->groups = configured_groups(saved->config, world.size());
  });
  return saved;
}

}  // namespace

struct LoadedModel::Parts {
  Parts(std::unique_ptr<Saved> saved, Communicator& world, const Clock& clock);
  PassState pass_over(std::span<const std::int32_t> inputs, std::span<const std::int32_t> targets,
                      std::int64_t first_token);

  std::filesystem::path checkpoint;
  std::int64_t step;
  std::unique_ptr<Communicator> control;
  Computed computed;
  const RunConfig& config = computed.config;
  DeviceGroups devices;
  std::unique_ptr<Communicator> dispatch;  ///< the ranks of one expert group
  Placement placement;                     ///< over the ranks of a group
  ParameterStore parameters;
  PlacedMixture mixture;
  OpenParameterGate gate;
  NoGradientListener listener;
  std::optional<Workload> forced;
  RouterStatistics statistics;
  Decoder decoder;
};

LoadedModel::Parts::Parts(std::unique_ptr<Saved> saved, Communicator& world, const Clock& clock)
    : checkpoint(saved->reader.path()),
      step(saved->reader.manifest().step),
      control(world.split(0, world.rank())),
      computed(with_compute_choice(saved->config, *control, clock)),
      devices(config.train.collective_seconds),
      dispatch(dispatch_of(world, saved->groups, computed.on_gpu, devices)),
      placement(place(config, saved->groups, saved->reader.manifest().state.loads, *control)),
      parameters(config.model, slices_of_rank(placement, dispatch->rank()), compute_type(config),
                 GradientMemory::kNone, computed.on_gpu ? gpu_device() : at::Device(at::kCPU)),
      mixture(*dispatch, placement,
              {.type = parameters.type(),
               .hidden_size = config.model.hidden_size,
               .on_gpu = computed.on_gpu,
               .dispatch_parts = computed.config.parallel.dispatch_parts,
               .products = configured_products(config, *control),
               .nodes = dispatch_nodes(config.topology, saved->groups, *control)}),
      forced(forced_workload(config.model, config.train.seed)),
      statistics(config.model.num_layers, config.model.experts.count),
      decoder(config.model, {.parameters = parameters,
                             .mixture = mixture.get(),
                             .gate = gate,
                             .listener = listener}) {
  collectively(*control, [&] { read_parameters(saved->reader, config.model, parameters); });
  decoder.parameters_changed();
}

PassState LoadedModel::Parts::pass_over(std::span<const std::int32_t> inputs,
                                        std::span<const std::int32_t> targets,
                                        std::int64_t first_token) {
  const auto length = static_cast<std::int64_t>(inputs.size());
  HETMOE_CHECK(length <= kLongestSequence, length, " tokens");
  return {.microbatch = {.sequences = length > 0 ? 1 : 0,
                         .length = std::max<std::int64_t>(1, length),
                         .inputs = inputs,
                         .targets = targets,
                         .document_begin = {},
                         .first_token = first_token},
          .statistics = &statistics,
          .forced = forced ? &*forced : nullptr};
}

LoadedModel::LoadedModel(const std::filesystem::path& path,
                         const std::vector<std::string>& settings, Communicator& world,
                         const Clock& clock)
    : parts_(std::make_unique<Parts>(open(path, settings, world), world, clock)) {}

LoadedModel::~LoadedModel() = default;

const std::filesystem::path& LoadedModel::checkpoint() const { return parts_->checkpoint; }
std::int64_t LoadedModel::step() const { return parts_->step; }
const RunConfig& LoadedModel::config() const { return parts_->config; }
Communicator& LoadedModel::control() { return *parts_->control; }
ParameterGate& LoadedModel::gate() { return parts_->gate; }
Decoder& LoadedModel::decoder() { return parts_->decoder; }
ParameterStore& LoadedModel::parameters() { return parts_->parameters; }

double LoadedModel::loss_sum(std::span<const std::int32_t> tokens, std::int64_t first_token,
                             std::int64_t first_scored) {
  HETMOE_CHECK(tokens.size() != 1, "one token has no loss");
  const std::size_t targets = tokens.empty() ? 0 : tokens.size() - 1;
  PassState pass = parts_->pass_over(tokens.first(targets), tokens.last(targets), first_token);
  return parts_->decoder.evaluate(pass, tokens.empty() ? 0 : first_scored - 1);
}

std::vector<float> LoadedModel::next_token_logits(std::span<const std::int32_t> tokens,
                                                  KeyValueCache* cache) {
  PassState pass = parts_->pass_over(tokens, {}, cache != nullptr ? cache->length() : 0);
  const at::Tensor logits =
      parts_->decoder.next_token_logits(pass, tokens.empty() ? nullptr : cache)
          .to(at::kCPU)
          .contiguous();
  const auto* first = logits.const_data_ptr<float>();
  return {first, first + logits.numel()};
}

std::unique_ptr<KeyValueCache> LoadedModel::make_cache() const {
  if (parts_->computed.on_gpu) return nullptr;
  return std::make_unique<KeyValueCache>(config().model, parts_->parameters.type());
}

}  // namespace hetmoe
