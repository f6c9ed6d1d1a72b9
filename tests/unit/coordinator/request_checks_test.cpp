#include "runtime/coordinator/request_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "runtime/coordinator/limits.h"
#include "tests/unit/coordinator/coordinator_test_support.h"

namespace hetmoe {
namespace {

namespace limits = coordinator_limits;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// What is said of `request` after `spoil`; empty: nothing.
template <typename Request>
std::string refusal_of(Request request, const std::function<void(Request&)>& spoil) {
  spoil(request);
  const auto error = error_of([&] { check_bounds(request); });
  if (!error) return "";
  EXPECT_EQ(error->fault(), CoordinatorFault::kInvalid) << error->what();
  EXPECT_THAT(error->what(), Not(HasSubstr("\n")));
  EXPECT_THAT(error->what(), HasSubstr("allowed"));
  return error->what();
}

std::string join_refusal(const std::function<void(JoinRequest&)>& spoil) {
  return refusal_of<JoinRequest>(join_of(1, 2), spoil);
}
std::string beat_refusal(const std::function<void(Heartbeat&)>& spoil, int rank = 0) {
  return refusal_of<Heartbeat>(beat_of(rank), spoil);
}
std::string step_refusal(const std::function<void(StepRecord&)>& spoil) {
  return refusal_of<StepReport>(step_of(3), [&](StepReport& report) { spoil(report.record); });
}
std::string shard_refusal(const std::function<void(PreparedShard&)>& spoil) {
  return refusal_of<PreparedShard>(shard_of(1, 5), spoil);
}
std::string commit_refusal(const std::function<void(CommittedCheckpoint&)>& spoil) {
  return refusal_of<CommittedCheckpoint>(commit_of(5), spoil);
}

TEST(RequestChecksTest, what_is_within_its_bounds_is_taken) {
  EXPECT_EQ(join_refusal([](auto&) {}), "");
  EXPECT_EQ(beat_refusal([](auto&) {}), "");
  EXPECT_EQ(step_refusal([](auto&) {}), "");
  EXPECT_EQ(shard_refusal([](auto&) {}), "");
  EXPECT_EQ(commit_refusal([](auto&) {}), "");
  for (const CommandKind kind : kCommandKinds) EXPECT_NO_THROW(check_bounds(kind));
}

TEST(RequestChecksTest, the_largest_values_allowed_are_taken) {
  EXPECT_EQ(join_refusal([](JoinRequest& request) {
              request.ranks = limits::kRanks;
              request.member.rank = limits::kRanks - 1;
              request.member.run = std::string(limits::kNameBytes, 'x');
              request.host = std::string(limits::kNameBytes, 'h');
              request.metrics_address = std::string(limits::kNameBytes - 6, 'h') + ":65535";
            }),
            "");
  EXPECT_EQ(beat_refusal([](Heartbeat& beat) { beat.step = limits::kSteps; }), "");
}

TEST(RequestChecksTest, a_refusal_names_call_rank_field_value_and_what_is_allowed) {
  EXPECT_EQ(beat_refusal([](Heartbeat& beat) { beat.step = -7; }, 3),
            "heartbeat of rank 3: step is -7, allowed: 0 to 1000000000000");
  EXPECT_EQ(step_refusal([](StepRecord& record) { record.learning_rate = -0.5; }),
            "step report of rank 0: learning rate is -0.5, allowed: a finite number from 0");
}

TEST(RequestChecksTest, a_run_has_a_name_of_one_line_of_utf8) {
  const auto named = [](const std::string& run) {
    return join_refusal([&](JoinRequest& request) { request.member.run = run; });
  };
  EXPECT_EQ(named("größe 7"), "");
  EXPECT_THAT(named(""), HasSubstr("run"));
  EXPECT_THAT(named("two\nlines"), HasSubstr("\"two\\nlines\""));
  EXPECT_THAT(named("\xff\xfe"), HasSubstr("run"));
  EXPECT_THAT(named("cut short \xc3"), HasSubstr("run"));
  EXPECT_THAT(named("\x1b[31m"), AllOf(HasSubstr("run"), Not(HasSubstr("\x1b"))));
  EXPECT_THAT(named("\xc2\x9b"), HasSubstr("run")) << "a terminal may obey it";
  EXPECT_THAT(named(std::string("a\0b", 3)), HasSubstr("run"));
  EXPECT_THAT(named(std::string(256, 'x')), HasSubstr("256 bytes long"));
}

TEST(RequestChecksTest, a_join_needs_ranks_a_place_among_them_and_a_process) {
  EXPECT_THAT(join_refusal([](JoinRequest& request) { request.ranks = 0; }), HasSubstr("ranks"));
  EXPECT_THAT(join_refusal([](JoinRequest& request) { request.ranks = limits::kRanks + 1; }),
              HasSubstr("65537, allowed: 1 to 65536"));
  EXPECT_THAT(join_refusal([](JoinRequest& request) { request.member.rank = 2; }),
              HasSubstr("rank is 2, allowed: 0 to 1"));
  EXPECT_THAT(join_refusal([](JoinRequest& request) { request.member.rank = -1; }),
              HasSubstr("rank is -1"));
  EXPECT_THAT(join_refusal([](JoinRequest& request) { request.member.generation = -1; }),
              HasSubstr("generation"));
  EXPECT_EQ(join_refusal([](JoinRequest& request) { request.member.generation = 0; }), "");
  EXPECT_THAT(join_refusal([](JoinRequest& request) { request.process = 0; }),
              HasSubstr("process"));
  EXPECT_THAT(join_refusal([](JoinRequest& request) { request.host = ""; }), HasSubstr("host"));
  EXPECT_THAT(join_refusal([](JoinRequest& request) { request.host = "two words"; }),
              HasSubstr("host"));
}

TEST(RequestChecksTest, a_metrics_address_is_host_and_port_or_nothing) {
  const auto at = [](const std::string& address) {
    return join_refusal([&](JoinRequest& request) { request.metrics_address = address; });
  };
  EXPECT_EQ(at(""), "");
  EXPECT_EQ(at("[::1]:80"), "");
  for (const char* wrong :
       {"n1", ":80", "n1:", "n1:0", "n1:65536", "n1:123456", "n1:8x", "n1:-1", "n 1:80"}) {
    EXPECT_THAT(at(wrong), HasSubstr("metrics address")) << wrong;
  }
}

TEST(RequestChecksTest, only_a_join_may_leave_its_generation_open) {
  EXPECT_THAT(beat_refusal([](Heartbeat& beat) { beat.member.generation = 0; }),
              HasSubstr("generation is 0, allowed: 1 to 1000000000"));
  EXPECT_THAT(shard_refusal([](PreparedShard& shard) { shard.member.generation = 0; }),
              HasSubstr("generation"));
  EXPECT_THAT(commit_refusal([](CommittedCheckpoint& c) { c.member.generation = 0; }),
              HasSubstr("generation"));
}

TEST(RequestChecksTest, times_and_amounts_are_finite_and_not_negative) {
  for (const double wrong : {kNotANumber, kInfinity, -kInfinity, -1e-9}) {
    EXPECT_NE(beat_refusal([&](Heartbeat& beat) { beat.step_seconds = wrong; }), "");
    EXPECT_NE(beat_refusal([&](Heartbeat& beat) { beat.expert_flops = wrong; }), "");
    EXPECT_NE(beat_refusal([&](Heartbeat& beat) { beat.wait_seconds = wrong; }), "");
    EXPECT_NE(step_refusal([&](StepRecord& record) { record.learning_rate = wrong; }), "");
    EXPECT_NE(step_refusal([&](StepRecord& record) { record.step_seconds = wrong; }), "");
    EXPECT_NE(step_refusal([&](StepRecord& record) { record.tokens_per_second = wrong; }), "");
    EXPECT_NE(step_refusal([&](StepRecord& record) { record.model_flops_per_second = wrong; }), "");
    EXPECT_NE(step_refusal([&](StepRecord& record) { record.flops_max_over_mean = wrong; }), "");
    EXPECT_NE(step_refusal([&](StepRecord& record) { record.phase_seconds.expert = wrong; }), "");
    EXPECT_NE(commit_refusal([&](CommittedCheckpoint& c) { c.seconds = wrong; }), "");
    EXPECT_NE(commit_refusal([&](CommittedCheckpoint& c) { c.wall_seconds = wrong; }), "");
  }
}

TEST(RequestChecksTest, the_rest_of_the_phases_may_be_a_little_below_zero_but_is_a_number) {
  EXPECT_EQ(step_refusal([](StepRecord& record) { record.phase_seconds.other = -1e-4; }), "");
  EXPECT_THAT(step_refusal([](StepRecord& record) { record.phase_seconds.other = kNotANumber; }),
              HasSubstr("phase other is nan"));
}

TEST(RequestChecksTest, losses_of_a_skipped_step_may_be_anything) {
  EXPECT_EQ(step_refusal([](StepRecord& record) {
              record.loss = kNotANumber;
              record.grad_norm = kInfinity;
              record.parameter_penalty = -kInfinity;
              record.load_balance = kNotANumber;
              record.router_entropy = kNotANumber;
            }),
            "");
}

TEST(RequestChecksTest, counts_are_not_negative) {
  EXPECT_NE(step_refusal([](StepRecord& record) { record.step = 0; }), "");
  EXPECT_NE(step_refusal([](StepRecord& record) { record.step = limits::kSteps + 1; }), "");
  EXPECT_NE(step_refusal([](StepRecord& record) { record.tokens = -1; }), "");
  EXPECT_NE(step_refusal([](StepRecord& record) { record.skipped = -1; }), "");
  EXPECT_NE(step_refusal([](StepRecord& record) { record.bytes.combine = -1; }), "");
  EXPECT_NE(step_refusal([](StepRecord& record) { record.bytes.gradients = -1; }), "");
  EXPECT_NE(step_refusal([](StepRecord& record) { record.bytes.parameters = -1; }), "");
  EXPECT_NE(step_refusal([](StepRecord& record) { record.bytes.parameters_hidden = -1; }), "");
  EXPECT_NE(step_refusal([](StepRecord& record) { record.bytes.other_node = -1; }), "");
  EXPECT_NE(beat_refusal([](Heartbeat& beat) { beat.memory_bytes = -1; }), "");
  EXPECT_NE(beat_refusal([](Heartbeat& beat) { beat.collective_sequence = -1; }), "");
  EXPECT_NE(commit_refusal([](CommittedCheckpoint& c) { c.step = 0; }), "");
  EXPECT_NE(commit_refusal([](CommittedCheckpoint& c) { c.bytes = -1; }), "");
  EXPECT_NE(shard_refusal([](PreparedShard& shard) { shard.step = 0; }), "");
}

TEST(RequestChecksTest, phase_and_collective_are_one_line_of_ascii) {
  EXPECT_EQ(beat_refusal([](Heartbeat& beat) { beat.phase = "writing a checkpoint"; }), "");
  EXPECT_EQ(beat_refusal([](Heartbeat& beat) { beat.phase = beat.collective = ""; }), "");
  EXPECT_THAT(beat_refusal([](Heartbeat& beat) { beat.phase = "a\r\nb"; }), HasSubstr("phase"));
  EXPECT_THAT(beat_refusal([](Heartbeat& beat) { beat.collective = "\xc3\xa4"; }),
              HasSubstr("collective"));
  EXPECT_THAT(beat_refusal([](Heartbeat& beat) { beat.collective = std::string(256, 'x'); }),
              HasSubstr("256 bytes long"));
}

TEST(RequestChecksTest, only_rank_0_executes_commands_and_after_a_step) {
  const auto executes = [](std::int64_t command, std::int64_t step, int rank) {
    return beat_refusal(
        [&](Heartbeat& beat) {
          beat.executed_command = command;
          beat.executed_step = step;
        },
        rank);
  };
  EXPECT_EQ(executes(1, 1, 0), "");
  EXPECT_THAT(executes(1, 0, 0), HasSubstr("executed step is 0"));
  EXPECT_THAT(executes(0, 1, 0), HasSubstr("executed step is 1"));
  EXPECT_THAT(executes(-1, 1, 0), HasSubstr("executed command is -1"));
  EXPECT_THAT(executes(1, 1, 2), HasSubstr("executed command is 1, allowed: 0 to 0"));
}

TEST(RequestChecksTest, a_shard_is_few_files_with_plain_names_and_digests) {
  const auto with_name = [](const std::string& name) {
    return shard_refusal([&](PreparedShard& shard) { shard.files[0].name = name; });
  };
  for (const char* wrong : {"", "../manifest.json", "a/b", ".hidden", "two words", "ä"}) {
    EXPECT_THAT(with_name(wrong), HasSubstr("file name")) << wrong;
  }
  EXPECT_THAT(with_name(std::string(256, 'x')), HasSubstr("file name"));
  EXPECT_EQ(shard_refusal([](PreparedShard& shard) { shard.files.clear(); }), "");
  EXPECT_THAT(shard_refusal([](PreparedShard& shard) { shard.files.resize(17, shard.files[0]); }),
              HasSubstr("number of files is 17, allowed: 0 to 16"));
  EXPECT_THAT(shard_refusal([](PreparedShard& shard) { shard.files.resize(2, shard.files[0]); }),
              HasSubstr("each name once"));
  EXPECT_THAT(shard_refusal([](PreparedShard& shard) { shard.files[0].bytes = -1; }),
              HasSubstr("file bytes"));
  EXPECT_THAT(shard_refusal([](PreparedShard& shard) { shard.files[0].digest[9] = 'A'; }),
              HasSubstr("file digest"));
  EXPECT_THAT(shard_refusal([](PreparedShard& shard) { shard.files[0].digest += "0"; }),
              HasSubstr("file digest"));
  EXPECT_THAT(shard_refusal([](PreparedShard& shard) { shard.configuration_digest = ""; }),
              HasSubstr("configuration digest"));
}

TEST(RequestChecksTest, a_command_is_one_of_those_that_there_are) {
  EXPECT_THAT(
      refusal_of<CommandKind>(CommandKind::kSave,
                              [](CommandKind& kind) { kind = static_cast<CommandKind>(9); }),
      HasSubstr("kind is 9"));
}

TEST(RequestChecksTest, foreign_text_is_shown_in_one_short_line_of_ascii) {
  EXPECT_EQ(shown_text("a\"\n\xc3\xa4\x7f"), "\"a\\\"\\n\\u00e4\\u007f\"");
  EXPECT_LT(shown_text(std::string(100000, 'x')).size(), 100u);
  EXPECT_THAT(shown_text("\xff"), Not(HasSubstr("\xff")));
}

}  // namespace
}  // namespace hetmoe
