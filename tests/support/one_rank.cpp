#include "tests/support/one_rank.h"

#include <gtest/gtest.h>

namespace hetmoe::test {

OneRank::OneRank(const RunConfig& config)
    : communicator_(world_.communicator(0)),
      training_(config, *communicator_, whole_placement(config.model)) {}

at::Tensor OneRank::gradient(const std::string& name) const {
  for (const OwnedRows& rows : training_.ownership().owned()) {
    if (rows.name == name) return rows.gradient.view({-1, rows.columns});
  }
  ADD_FAILURE() << "no tensor " << name;
  return {};
}

void expect_same_outcome(const StepOutcome& outcome, const StepOutcome& expected) {
  EXPECT_FALSE(outcome.skipped);
  EXPECT_NEAR(outcome.loss, expected.loss, 1e-5 * expected.loss);
  EXPECT_NEAR(outcome.grad_norm, expected.grad_norm, 1e-5 * expected.grad_norm);
  EXPECT_NEAR(outcome.parameter_penalty, expected.parameter_penalty, 1e-5);
  EXPECT_NEAR(outcome.load_balance, expected.load_balance, 1e-5);
  EXPECT_NEAR(outcome.router_entropy, expected.router_entropy, 1e-5);
  EXPECT_EQ(outcome.load, expected.load);
}

void expect_same_gradients(const Ownership& ownership, const OneRank& expected, double norm) {
  for (const OwnedRows& rows : ownership.owned()) {
    const at::Tensor whole = expected.gradient(rows.name);
    const at::Tensor part = whole.narrow(0, rows.row_begin, rows.row_end - rows.row_begin);
    const double scale = whole.abs().max().item<double>();
    const double difference =
        rows.gradient.to(at::kCPU).view({-1, rows.columns}).sub(part).abs().max().item<double>();
    EXPECT_LT(difference, 1e-5 * scale + 2e-6 * norm)
        << rows.name << " from row " << rows.row_begin;
    EXPECT_GT(scale, 1e-6) << rows.name;
  }
}

}  // namespace hetmoe::test
