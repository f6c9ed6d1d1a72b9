#include "tests/integration/peer_reference.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace hetmoe {

PeerReference read_peer_reference(const std::string& name) {
  const std::string path = "tests/peers/reference/" + name + ".json";
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  const auto document = nlohmann::json::parse(file);
  PeerReference reference;
  document.at("config_file").get_to(reference.config_file);
  document.at("set").get_to(reference.settings);
  document.at("loss").get_to(reference.loss);
  document.at("grad_norm").get_to(reference.grad_norm);
  document.at("learning_rate").get_to(reference.learning_rate);
  const auto& auxiliary = document.at("aux");
  auxiliary.at("parameter_penalty").get_to(reference.parameter_penalty);
  auxiliary.at("load_balance").get_to(reference.load_balance);
  auxiliary.at("router_entropy").get_to(reference.router_entropy);
  for (const auto& entry : document.at("gradients")) {
    PeerReference::Gradient gradient;
    entry.at("name").get_to(gradient.name);
    gradient.elements = 1;
    for (const auto& size : entry.at("shape")) gradient.elements *= size.get<std::int64_t>();
    entry.at("norm").get_to(gradient.norm);
    entry.at("projections").get_to(gradient.projections);
    reference.gradients.push_back(std::move(gradient));
  }
  return reference;
}

RunConfig config_of(const PeerReference& reference, const std::string& shard) {
  std::vector<std::string> settings = reference.settings;
  settings.push_back("data.train=" + shard);
  return load_run_config(reference.config_file, settings);
}

WorstGradient worst_gradient(const PeerReference& reference, const GatheredGradients& gradients) {
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  if (gradients.names().size() != reference.gradients.size()) return {kInfinite, "number"};
  WorstGradient worst;
  const auto meet = [&](double difference, const std::string& name) {
    if (!(difference <= worst.difference)) worst = {difference, name};
  };
  for (const auto& expected : reference.gradients) {
    const std::vector<double> values = gradients.tensor(expected.name);
    const auto elements = static_cast<double>(expected.elements);
    if (values.size() != static_cast<std::size_t>(expected.elements)) {
      return {kInfinite, expected.name};
    }
    // Of an expert that no token met everything is 0.
    const double scale = expected.norm > 0 ? expected.norm : 1e-30;
    meet(std::abs(norm_of(values) - expected.norm) / scale, expected.name);
    for (std::size_t i = 0; i < expected.projections.size(); ++i) {
      const double value = projection_of(values, static_cast<int>(i) + 1);
      meet(std::abs(value - expected.projections[i]) / (scale * std::sqrt(elements / 2)),
           expected.name + " projection " + std::to_string(i + 1));
    }
  }
  return worst;
}

double relative_difference(double value, double expected) {
  return std::abs(value - expected) / std::abs(expected);
}

}  // namespace hetmoe
