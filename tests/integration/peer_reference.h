#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/run_config.h"
#include "tests/integration/gathered_gradients.h"

namespace hetmoe {

/// What a plain PyTorch program computed for one case: a file of tests/peers/reference, whose
/// README says what the numbers are.
struct PeerReference {
  struct Gradient {
    std::string name;
    std::int64_t elements = 0;
    double norm = 0;
    std::vector<double> projections;  ///< k = 1, 2...
  };

  std::string config_file;
  std::vector<std::string> settings;
  std::vector<double> loss, grad_norm, learning_rate;
  std::vector<double> parameter_penalty, load_balance, router_entropy;
  std::vector<Gradient> gradients;  ///< of step 1
};

/// Reads tests/peers/reference/NAME.json; the working directory is the root of the tree.
PeerReference read_peer_reference(const std::string& name);

/// The same run for our program; `shard`: the prefix of the prepared text.
RunConfig config_of(const PeerReference& reference, const std::string& shard);

/// The largest difference of a norm or a projection, relative to the tensor's norm (projections:
/// times the length of the cosine vector), and the tensor. Infinite if the tensors are not the
/// same.
struct WorstGradient {
  double difference = 0;
  std::string name;
};
WorstGradient worst_gradient(const PeerReference& reference, const GatheredGradients& gradients);

/// |value - expected| / |expected|.
double relative_difference(double value, double expected);

}  // namespace hetmoe
