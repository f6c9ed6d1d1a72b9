#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/model/router.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kTokens = 7;
constexpr std::int64_t kExperts = 5;
constexpr std::int64_t kGlobalTokens = 19;  // other ranks have the rest
constexpr std::int64_t kMicrobatches = 3;
const std::vector<std::int64_t> kWidths = {3, 5, 8, 13, 21};
const std::vector<double> kSelected = {11, 2, 9, 0, 16};  // over all ranks

/// Which parts of the loss a case has.
struct LossCase {
  const char* name;
  RouterKind kind = RouterKind::kTopK;
  Renormalize renormalize = Renormalize::kTrue;
  double penalty = 0;
  double load_balance = 0;
  double entropy = 0;
  PenaltyForm form = PenaltyForm::kPaper;
  double gates = 1;     ///< how much the gates count
  bool forced = false;  ///< experts that the logits do not decide
};

RouterConfig config_of(const LossCase& c) {
  return {.kind = c.kind,
          .top_k = 2,
          .top_p = 0.7,
          .renormalize = c.renormalize,
          .parameter_penalty = c.penalty,
          .load_balance = c.load_balance,
          .entropy = c.entropy,
          .penalty_form = c.form};
}

/// Two experts for every token, seldom the most probable ones.
std::vector<std::int32_t> forced_experts() {
  std::vector<std::int32_t> experts;
  for (std::int32_t t = 0; t < kTokens; ++t) {
    experts.push_back(t % 4);
    experts.push_back(4);
  }
  return experts;
}

std::vector<double> plain_softmax(const double* logits) {
  double sum = 0;
  std::vector<double> p;
  for (std::int64_t i = 0; i < kExperts; ++i) sum += std::exp(logits[i]);
  for (std::int64_t i = 0; i < kExperts; ++i) p.push_back(std::exp(logits[i]) / sum);
  return p;
}

double total_width() {
  double sum = 0;
  for (const std::int64_t width : kWidths) sum += static_cast<double>(width);
  return sum;
}

/// The loss as the papers' formulas have it, for a selection and loads that stand still:
///   sum of weight * gate, penalty E / mean(h) * sum h_i f_i Q_i (HMoE, equation 4, widths over
///   their mean), load balance E * sum f_i Q_i, entropy of P; released code: mean over tokens and
///   the K selections of gate * h / sum(h). f_i = M_i / T and Q_i = sum P_i / T, T over all ranks.
double plain_loss(const at::Tensor& logits, const Routing& selection, const LossCase& c,
                  const std::vector<double>& gate_weight) {
  const double tokens = kGlobalTokens;
  const double mean_width = total_width() / kExperts;
  double loss = 0;
  for (std::int64_t t = 0; t < kTokens; ++t) {
    const auto p = plain_softmax(logits.const_data_ptr<double>() + t * kExperts);
    double selected = 0;
    for (std::int64_t s = selection.offset[t]; s < selection.offset[t + 1]; ++s) {
      selected += p[selection.expert[s]];
    }
    for (std::int64_t s = selection.offset[t]; s < selection.offset[t + 1]; ++s) {
      const std::int32_t expert = selection.expert[s];
      const double gate = c.renormalize == Renormalize::kTrue ? p[expert] / selected : p[expert];
      loss += c.gates * gate_weight[s] * gate;
      if (c.form == PenaltyForm::kReleasedCode) {
        loss += c.penalty / kMicrobatches * gate * static_cast<double>(kWidths[expert]) /
                total_width() / (tokens * 2);
      }
    }
    for (std::int64_t i = 0; i < kExperts; ++i) {
      const double width = c.form == PenaltyForm::kPaper ? static_cast<double>(kWidths[i]) : 0.0;
      loss += (c.penalty * width / mean_width + c.load_balance) / kMicrobatches * kExperts *
              (kSelected[i] / tokens) * (p[i] / tokens);
      loss -= c.entropy / kMicrobatches * p[i] * std::log(p[i]) / tokens;
    }
  }
  return loss;
}

class RouteBackward : public testing::TestWithParam<LossCase> {};

TEST_P(RouteBackward, MatchesFiniteDifferencesOfThePlainFormulas) {
  const LossCase& c = GetParam();
  at::Tensor logits = test_values("logits", {kTokens, kExperts});
  const RouterConfig config = config_of(c);
  const Routing routing =
      route(logits, config, c.forced ? forced_experts() : std::vector<std::int32_t>());
  EXPECT_EQ(routing.expert == forced_experts(), c.forced);
  const at::Tensor weights = test_values("weights", {routing.selections()});
  std::vector<double> gate_weight(weights.const_data_ptr<double>(),
                                  weights.const_data_ptr<double>() + routing.selections());
  std::vector<double> dgates;
  for (const double weight : gate_weight) dgates.push_back(c.gates * weight);
  const auto relative = relative_widths(kWidths);
  const at::Tensor gradient = route_backward(routing, {dgates, {}},
                                             {.config = config,
                                              .relative_width = relative,
                                              .global_selected = kSelected,
                                              .global_tokens = kGlobalTokens,
                                              .microbatches = kMicrobatches});
  const auto value = [&] { return plain_loss(logits, routing, c, gate_weight); };
  EXPECT_LT(relative_gradient_error(value, logits, gradient), 1e-8);
  EXPECT_GT(gradient.abs().max().item<double>(), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(
    Losses, RouteBackward,
    testing::Values(LossCase{"gates_of_top_k_renormalised"},
                    LossCase{.name = "gates_of_top_k", .renormalize = Renormalize::kFalse},
                    LossCase{.name = "gates_of_top_p_renormalised", .kind = RouterKind::kTopP},
                    LossCase{"gates_of_top_p", RouterKind::kTopP, Renormalize::kFalse},
                    LossCase{.name = "penalty", .penalty = 0.7, .gates = 0},
                    LossCase{.name = "load_balance", .load_balance = 0.3, .gates = 0},
                    LossCase{.name = "entropy", .entropy = 0.4, .gates = 0},
                    LossCase{.name = "released_renormalised",
                             .penalty = 5,
                             .form = PenaltyForm::kReleasedCode,
                             .gates = 0},
                    LossCase{"released", RouterKind::kTopP, Renormalize::kFalse, 5, 0, 0,
                             PenaltyForm::kReleasedCode, 0},
                    LossCase{"all_of_top_k", RouterKind::kTopK, Renormalize::kTrue, 0.7, 0.3, 0.4},
                    LossCase{"all_of_top_p", RouterKind::kTopP, Renormalize::kTrue, 0.7, 0.3, 0.4},
                    LossCase{.name = "forced_renormalised", .forced = true},
                    LossCase{.name = "forced", .renormalize = Renormalize::kFalse, .forced = true},
                    LossCase{"all_of_forced", RouterKind::kTopK, Renormalize::kTrue, 0.7, 0.3, 0.4,
                             PenaltyForm::kPaper, 1, true},
                    LossCase{"all_of_forced_released", RouterKind::kTopK, Renormalize::kTrue, 5,
                             0.3, 0.4, PenaltyForm::kReleasedCode, 1, true},
                    LossCase{"all_of_top_p_released", RouterKind::kTopP, Renormalize::kFalse, 0.7,
                             0.3, 0.4, PenaltyForm::kReleasedCode}),
    [](const auto& instance) { return instance.param.name; });

TEST(RouteBackward, TokensWithNonFiniteLogitsHaveNoGradient) {
  at::Tensor logits = test_values("logits", {2, kExperts});
  logits[1][3] = std::numeric_limits<double>::quiet_NaN();
  const LossCase c{"", RouterKind::kTopK, Renormalize::kTrue, 0.7, 0.3, 0.4};
  const Routing routing = route(logits, config_of(c));
  const auto relative = relative_widths(kWidths);
  const std::vector<double> dgates(routing.expert.size(), 1.0);
  const at::Tensor gradient = route_backward(routing, {dgates, {}},
                                             {.config = config_of(c),
                                              .relative_width = relative,
                                              .global_selected = kSelected,
                                              .global_tokens = 2,
                                              .microbatches = 1});
  EXPECT_EQ(gradient[1].abs().sum().item<double>(), 0.0);
  EXPECT_GT(gradient[0].abs().sum().item<double>(), 0.0);
}

/// Two tokens and three experts, P = (6, 3, 1) / 10 and (2, 3, 5) / 10.
struct TwoTokens {
  RouterStatistics statistics{1, 3};
  explicit TwoTokens(const RouterConfig& config, const std::vector<double>& relative) {
    at::Tensor logits = test_values("any", {2, 3});
    const double p[2][3] = {{6, 3, 1}, {2, 3, 5}};
    for (int t = 0; t < 2; ++t) {
      for (int i = 0; i < 3; ++i) logits[t][i] = std::log(p[t][i]);
    }
    add_statistics(route(logits, config), relative, statistics.layer(0));
  }
  AuxiliaryLosses losses(const RouterConfig& config, const std::vector<double>& relative) const {
    return auxiliary_losses(config, relative, statistics.layer(0), 2);
  }
};

TEST(AuxiliaryLosses, MatchACountByHand) {
  const RouterConfig config{.kind = RouterKind::kTopK, .top_k = 1};
  const std::vector<double> relative = relative_widths(std::vector<std::int64_t>{2, 4, 6});
  const AuxiliaryLosses losses = TwoTokens(config, relative).losses(config, relative);
  // f = (1/2, 0, 1/2), Q = (4, 3, 3) / 10, widths over their mean (1/2, 1, 3/2).
  EXPECT_NEAR(losses.load_balance, 3 * (0.5 * 0.4 + 0.5 * 0.3), 1e-14);
  EXPECT_NEAR(losses.parameter_penalty, 3 * (0.5 * 0.5 * 0.4 + 1.5 * 0.5 * 0.3), 1e-14);
  const auto term = [](double p) { return -p * std::log(p); };
  EXPECT_NEAR(losses.router_entropy,
              (term(0.6) + 2 * term(0.3) + term(0.1) + term(0.2) + term(0.5)) / 2, 1e-14);
}

TEST(AuxiliaryLosses, ReleasedFormIsTheMeanGateTimesWidthOverTheSumOfWidths) {
  const RouterConfig config{
      .kind = RouterKind::kTopK, .top_k = 2, .penalty_form = PenaltyForm::kReleasedCode};
  const std::vector<double> relative = relative_widths(std::vector<std::int64_t>{2, 4, 6});
  // Gates (2/3, 1/3) on widths 2, 4 and (3/8, 5/8) on 4, 6; sum of widths 12; 2 tokens, K = 2.
  const double expected = (2.0 / 3 * 2 + 1.0 / 3 * 4 + 3.0 / 8 * 4 + 5.0 / 8 * 6) / 12 / 4;
  EXPECT_NEAR(TwoTokens(config, relative).losses(config, relative).parameter_penalty, expected,
              1e-14);
}

TEST(AuxiliaryLosses, AtEqualWidthsThePenaltyIsTheLoadBalanceLoss) {
  const RouterConfig config{.kind = RouterKind::kTopP, .top_p = 0.7};
  const std::vector<double> relative = relative_widths(std::vector<std::int64_t>{40, 40, 40});
  const AuxiliaryLosses losses = TwoTokens(config, relative).losses(config, relative);
  EXPECT_DOUBLE_EQ(losses.parameter_penalty, losses.load_balance);
  EXPECT_GT(losses.load_balance, 0);
}

TEST(AuxiliaryLosses, EvenRoutingHasLoadBalanceKAndEntropyLogE) {
  RouterStatistics statistics(1, 4);
  const RouterConfig config{.kind = RouterKind::kTopK, .top_k = 1};
  at::Tensor logits = test_values("any", {4, 4}).mul(0).contiguous();
  for (int t = 0; t < 4; ++t) logits[t][t] = 1e-12;  // each token its own expert
  const std::vector<double> relative(4, 1.0);
  add_statistics(route(logits, config), relative, statistics.layer(0));
  const auto losses = auxiliary_losses(config, relative, std::as_const(statistics).layer(0), 4);
  EXPECT_NEAR(losses.load_balance, 1.0, 1e-9);
  EXPECT_NEAR(losses.router_entropy, std::log(4.0), 1e-9);
}

}  // namespace
}  // namespace hetmoe
