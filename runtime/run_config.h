#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/allowed.h"
#include "core/config/fault.h"
#include "core/data/data_config.h"
#include "core/model/model_config.h"
#include "parallel/parallel_config.h"
#include "parallel/placement/placement_config.h"
#include "runtime/trainer/train_config.h"

namespace hetmoe {

struct CheckpointConfig {
  std::int64_t every_steps = 500;
  int keep = 2;
  std::int64_t keep_every_steps = 0;
  bool last_step = true;
  double wait_seconds = 1800;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("every_steps", every_steps, "steps",
                "How often a checkpoint is saved while training goes on; 0: only when it stops.",
                at_least(0, 1e12));
    visit.field("keep", keep, "checkpoints", "Newest checkpoints that are kept.",
                between(2, 1000000));
    visit.field("keep_every_steps", keep_every_steps, "steps",
                "Checkpoints whose step is a multiple of this are kept for good; 0: none.",
                at_least(0, 1e12));
    visit.field("last_step", last_step, "",
                "Save the last step too, and the one at which a signal stops training. false: for "
                "measurements.");
    visit.field("wait_seconds", wait_seconds, "seconds",
                "A run that has to wait longer than this for a save, before the next one or at its "
                "end, ends with code 3; 0: never. Saves of more than a minute are warned about.",
                at_least(0, 1e9));
  }
};

struct CoordinatorConfig {
  std::string listen;
  std::string address;
  std::string credentials;
  double beat_seconds = 1;
  double away_seconds = 60;
  std::string certificate;
  std::string private_key;
  std::string client_authority;
  bool insecure = false;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("listen", listen, "",
                "HOST:PORT where rank 0's coordinator listens, port 0: any; none: no coordinator; "
                "\"\": loopback, in a Slurm job or on several hosts every address, with TLS.");
    visit.field("address", address, "",
                "HOST:PORT of a coordinator that runs by itself; \"\": rank 0 runs one.");
    visit.field("credentials", credentials, "",
                "The coordinator.json of the one that runs by itself.");
    visit.field("beat_seconds", beat_seconds, "s", "Between two signs of life of a rank.",
                between(0.01, 60));
    visit.field("away_seconds", away_seconds, "s",
                "Silence of the coordinator after which the ranks commit checkpoints without it.",
                between(0, 86400));
    visit.field("certificate", certificate, "",
                "PEM file for mutual TLS, of server and ranks; \"\": made for the run if needed.");
    visit.field("private_key", private_key, "", "PEM file of the certificate's key, mode 600.");
    visit.field("client_authority", client_authority, "",
                "PEM file of the authority that signed the certificates.");
    visit.field("insecure", insecure, "",
                "Plaintext beyond loopback, for metrics too: tokens can be read on the network.");
  }
};

struct MetricsConfig {
  std::string listen;
  bool detail = false;
  double peak_flops = 0;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field(
        "listen", listen, "",
        "HOST:PORT where every rank serves metrics to Prometheus, port 0: any, else this one "
        "and those after it; none: nowhere; \"\": loopback, in a Slurm job or on several "
        "hosts every address, with a token.");
    visit.field("detail", detail, "",
                "Also tokens by layer and expert, served by rank 0: layers x experts series.");
    visit.field("peak_flops", peak_flops, "FLOP/s",
                "Of one rank's device; what utilisation is a part of. 0: not known.",
                at_least(0.0));
  }
};

struct TopologyConfig {
  int ranks_per_node = 0;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("ranks_per_node", ranks_per_node, "ranks",
                "Neighbouring ranks on one node. Of several nodes each gets a token's row once and "
                "hands it on inside (on CPUs). 0: nodes are the hosts that ranks are found on.",
                at_least(0, 1 << 20));
  }
};

/// Everything that a run is told, from one file and the command line.
struct RunConfig {
  ModelConfig model;
  DataConfig data;
  TrainConfig train;
  EvaluateConfig evaluate;
  ParallelConfig parallel;
  PlacementConfig placement;
  CheckpointConfig checkpoint;
  CoordinatorConfig coordinator;
  MetricsConfig metrics;
  TopologyConfig topology;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.section("model", model);
    visit.section("data", data);
    visit.section("train", train);
    visit.section("evaluate", evaluate);
    visit.section("parallel", parallel);
    visit.section("placement", placement);
    visit.section("checkpoint", checkpoint);
    visit.section("coordinator", coordinator);
    visit.section("metrics", metrics);
    visit.section("topology", topology);
  }
};

/// Reads and checks a configuration. `settings` are "a.b=value", applied after the file, the last
/// one of a key counts. With model.experts.widths given and count not, count is their number.
/// Errors: one ConfigError with every fault, a line each, that names file and line (or the
/// setting), key, value and what is allowed.
RunConfig load_run_config(const std::string& path, const std::vector<std::string>& settings);

/// The same of text that is no file of its own (a checkpoint holds one); `source` names it in
/// errors.
RunConfig parse_run_config(const std::string& text, const std::string& source,
                           const std::vector<std::string>& settings);

/// Every fault of a configuration: single values out of range first, then contradictions between
/// keys, those left out whose keys are faulty by themselves. Empty: good.
std::vector<ConfigFault> validate(const RunConfig& config);

/// The configuration as YAML, every key, defaults included; reads back to the same struct.
std::string resolved_yaml(const RunConfig& config);

/// The reference for `hetmoe train --help-config`: key, type, default, unit, range, meaning.
std::string help_config();

}  // namespace hetmoe
