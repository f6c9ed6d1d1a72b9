#include "parallel/placement/plan_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "core/base/error.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kProblem =
    R"({"hidden_size":768,"bytes_per_parameter":18,"bytes_per_replica_parameter":6,"ranks":4,)"
    R"("memory_cap_ratio":1.10,"tolerance":0.02,"granularity":32,"replicas":0,)"
    R"("layers":[{"widths":[864,992],"tokens":[1000,0]}]})";

std::string fault_of(const std::function<void()>& read) {
  try {
    read();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

std::string problem_fault(const std::string& text) {
  return fault_of([&] { static_cast<void>(read_problem(text)); });
}

std::string plan_fault(const std::string& text) {
  return fault_of([&] { static_cast<void>(read_plan(text)); });
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

TEST(ReadProblem, the_contracts_example) {
  const PlanProblem problem = read_problem(kProblem);
  EXPECT_EQ(problem.hidden_size, 768);
  EXPECT_EQ(problem.ranks, 4);
  EXPECT_EQ(problem.memory_cap_ratio, 1.10);
  EXPECT_EQ(problem.layers[0].widths, (std::vector<std::int64_t>{864, 992}));
  EXPECT_EQ(problem.layers[0].tokens, (std::vector<std::int64_t>{1000, 0}));
}

TEST(ReadProblem, faults_are_named_by_json_pointer_on_one_line) {
  const auto spoil = [](const char* from, const char* to) {
    const std::string fault = problem_fault(replaced(kProblem, from, to));
    EXPECT_THAT(fault, Not(HasSubstr("\n")));
    return fault;
  };
  EXPECT_THAT(spoil("\"ranks\":4", "\"ranks\":\"four\""),
              HasSubstr("/ranks is string, allowed: an integer"));
  EXPECT_THAT(spoil("\"ranks\":4", "\"ranks\":4.5"), HasSubstr("/ranks is number"));
  EXPECT_THAT(spoil("\"ranks\":4", "\"ranks\":0"), HasSubstr("/ranks is 0"));
  EXPECT_THAT(spoil("\"ranks\":4", "\"ranks\":18446744073709551615"),
              HasSubstr("/ranks is 18446744073709551615"));
  EXPECT_THAT(spoil("\"ranks\":4", "\"rank\\n\":4"), HasSubstr("unknown key \"rank\\n\""));
  EXPECT_THAT(spoil("\"ranks\":4,", ""), HasSubstr("lacks the key \"ranks\""));
  EXPECT_THAT(spoil("\"ranks\":4", "\"ranks\":4,\"ranks\":5"),
              HasSubstr("repeats the key \"ranks\""));
  EXPECT_THAT(spoil("[1000,0]", "[1000,-1]"), HasSubstr("/layers/0/tokens/1 is -1"));
  EXPECT_THAT(spoil("[1000,0]", "[1000,null]"), HasSubstr("/layers/0/tokens/1 is null"));
  EXPECT_THAT(spoil("[1000,0]", "[1000]"), HasSubstr("/layers/0/tokens is of length 1"));
  EXPECT_THAT(spoil("[1000,0]", "1000"), HasSubstr("/layers/0/tokens is number"));
  EXPECT_THAT(spoil("\"replicas\":0", "\"memory_cap_bytes\":5"), HasSubstr("both"));
  EXPECT_THAT(spoil("0.02", "1e999"), HasSubstr("too large"));
  EXPECT_THAT(spoil("\"replicas\":0", "\"cluster\":3"),
              HasSubstr("planner problem: /cluster: 3, allowed: sections"));
  EXPECT_THAT(spoil("\"replicas\":0", "\"strict\":1"), HasSubstr("/strict is number"));
  EXPECT_THAT(spoil("\"replicas\":0", "\"strict\":true"),
              HasSubstr("/strict is true, allowed: false without a cluster"));
  EXPECT_THAT(spoil("\"replicas\":0", "\"bytes_per_value\":0"), HasSubstr("/bytes_per_value is 0"));
  EXPECT_THAT(spoil("\"replicas\":0", "\"microbatches\":0"), HasSubstr("/microbatches is 0"));
  EXPECT_THAT(spoil("\"replicas\":0", "\"recompute\":\"all\""),
              HasSubstr("/recompute is \"all\", allowed: none, experts, block"));
}

TEST(ReadProblem, knows_what_is_computed_again) {
  EXPECT_EQ(read_problem(kProblem).recompute, Recompute::kNone);
  const std::string text = replaced(kProblem, "\"replicas\":0", "\"recompute\":\"block\"");
  EXPECT_EQ(read_problem(text).recompute, Recompute::kBlock);
}

TEST(ReadProblem, a_cluster_has_the_keys_of_its_file) {
  const std::string cluster =
      R"({"name":"c","source":"s","precision":"fp32","threads":2,"peak_flops_per_second":1e10,)"
      R"("memory":{"bytes":0,"bytes_per_second":1e10,"optimizer_bytes_per_second":5e9},)"
      R"("expert_products":{"hidden_sizes":[64],"rows":[1,2],"widths":[8],)"
      R"("forward_seconds":[1e-6,2e-6],"backward_seconds":[2e-6,4e-6]},)"
      R"("dense_products":{"sizes":[1],"forward_flops_per_second":[1],"backward_flops_per_second":[1]},)"
      R"("attention":{"sizes":[1],"forward_flops_per_second":[1],"backward_flops_per_second":[1]},)"
      R"("output_head":{"sizes":[1],"forward_flops_per_second":[1],"backward_flops_per_second":[1]},)"
      R"("layer":{"seconds":0,"seconds_per_value":0},"links":{"ranks_per_node":3,)"
      R"("same_node":{"latency_seconds":0,"bytes_per_second":1e9},)"
      R"("other_node":{"latency_seconds":1e-5,"bytes_per_second":1e8}}})";
  const auto with = [&](const std::string& text) {
    return replaced(kProblem, "\"replicas\":0",
                    "\"replicas\":0,\"strict\":true,\"cluster\":" + text);
  };
  const PlanProblem problem = read_problem(with(cluster));
  EXPECT_TRUE(problem.strict);
  ASSERT_TRUE(problem.cluster.has_value());
  EXPECT_EQ(problem.cluster->expert_products.backward_seconds, (std::vector{2e-6, 4e-6}));
  EXPECT_EQ(problem.cluster->ranks_per_node, 3);
  EXPECT_EQ(problem.cluster->other_node.latency_seconds, 1e-5);
  EXPECT_THAT(problem_fault(with(replaced(cluster, "1e9", "-1"))),
              HasSubstr("planner problem: /cluster: links.same_node.bytes_per_second: value -1, "
                        "allowed: > 0"));
  EXPECT_THAT(problem_fault(with(replaced(cluster, "\"threads\":2,", ""))),
              HasSubstr("threads: is missing"));
}

TEST(ReadProblem, hostile_texts_end_in_an_error) {
  EXPECT_THAT(problem_fault(""), HasSubstr("not JSON at byte"));
  EXPECT_THAT(problem_fault("[]"), HasSubstr("is array, allowed: an object"));
  EXPECT_THAT(problem_fault(std::string(100000, '[')), HasSubstr("nests deeper than"));
  EXPECT_THAT(problem_fault("{\"\xff\":1}"), HasSubstr("not JSON"));
  const std::string whole = kProblem;
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_NE(problem_fault(whole.substr(0, length)), "no error") << length;
}

TEST(WritePlan, has_the_contracts_shape) {
  PlanProblem problem = read_problem(kProblem);
  problem.ranks = 1;
  EXPECT_EQ(write_plan(plan(problem, PlanStrategy::kWhole)),
            R"({"layers":[{"slices":[{"expert":0,"rank":0,"begin":0,"end":864,"share":1.0},)"
            R"({"expert":1,"rank":0,"begin":0,"end":992,"share":1.0}],"flops_max_over_mean":1.0,)"
            R"("traffic_ratio":1.0}],"memory_max_over_mean":1.0,"predicted_step_seconds":null,)"
            R"("bound_by":"none"})"
            "\n");
}

TEST(ReadPlan, gives_back_what_was_written) {
  Plan original;
  original.placement.layers = {
      {{{0, 3, 0, 31, 0.1}, {0, 4, 0, 31, 0.9}, {0, 1, 31, 64, 1.0}, {1, 0, 0, 7, 1.0}}},
      {{{0, 2, 0, 5, 1.0}}}};
  original.layers = {{1.0 / 3.0 + 1, 2.5}, {1.25, 1}};
  original.memory_max_over_mean = 1.1;
  original.predicted_step_seconds = 0.125;
  original.bound_by = "memory";
  const Plan read = read_plan(write_plan(original));
  EXPECT_EQ(read.placement, original.placement);
  EXPECT_EQ(read.layers[0].flops_max_over_mean, original.layers[0].flops_max_over_mean);
  EXPECT_EQ(write_plan(read), write_plan(original));
}

TEST(ReadPlan, faults_are_named_by_json_pointer) {
  const std::string good =
      R"({"layers":[{"slices":[{"expert":0,"rank":1,"begin":0,"end":8,"share":1.0}]}]})";
  EXPECT_EQ(plan_fault(good), "no error");
  EXPECT_THAT(plan_fault(replaced(good, "\"rank\":1", "\"rank\":-1")),
              HasSubstr("/layers/0/slices/0/rank is -1"));
  EXPECT_THAT(plan_fault(replaced(good, "\"end\":8", "\"end\":8e3")),
              HasSubstr("/layers/0/slices/0/end is number, allowed: an integer"));
  EXPECT_THAT(plan_fault(replaced(good, "\"end\":8,", "")),
              HasSubstr("/layers/0/slices/0 lacks the key \"end\""));
  EXPECT_THAT(plan_fault(replaced(good, "}]}", "}],\"x\":1}")), HasSubstr("unknown key \"x\""));
  EXPECT_THAT(plan_fault(R"({"layers":[],"bound_by":"luck"})"), HasSubstr("/bound_by allowed:"));
}

TEST(DigestOf, changes_with_every_field) {
  const Placement original{{{{{0, 1, 0, 8, 1.0}}}, {{{0, 0, 0, 8, 1.0}}}}};
  const std::string digest = digest_of(original);
  EXPECT_THAT(digest, testing::MatchesRegex("xxh3-128:[0-9a-f]+"));
  EXPECT_EQ(digest.size(), 9U + 32U);
  EXPECT_EQ(digest, digest_of(Placement(original)));
  const auto changed = [&](const std::function<void(PlacedSlice&)>& change) {
    Placement other = original;
    change(other.layers[0].slices[0]);
    return digest_of(other);
  };
  EXPECT_NE(digest, changed([](auto& s) { s.expert = 1; }));
  EXPECT_NE(digest, changed([](auto& s) { s.rank = 0; }));
  EXPECT_NE(digest, changed([](auto& s) { s.begin = 1; }));
  EXPECT_NE(digest, changed([](auto& s) { s.end = 9; }));
  EXPECT_NE(digest, changed([](auto& s) { s.share = 0.5; }));
  // The same slices, dealt to layers differently.
  EXPECT_NE(digest, digest_of({{{{{0, 1, 0, 8, 1.0}, {0, 0, 0, 8, 1.0}}}, {}}}));
}

}  // namespace
}  // namespace hetmoe
