#include "runtime/coordinator/network/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>

#include "runtime/coordinator/limits.h"
#include "tests/unit/coordinator/sample_messages.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// The text of what is refused as invalid; empty: nothing was.
std::string refusal_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const CoordinatorError& error) {
    EXPECT_EQ(error.fault(), CoordinatorFault::kInvalid);
    return error.what();
  }
  return "";
}

/// Over the bytes of the wire, not just the object.
template <typename Message>
Message through_bytes(const Message& message) {
  Message read;
  EXPECT_TRUE(read.ParseFromString(message.SerializeAsString()));
  return read;
}

TEST(Messages, every_field_of_every_domain_struct_survives_the_bytes) {
  expect_same(decode(through_bytes(encode(sample_join()))), sample_join());
  EXPECT_EQ(decode(through_bytes(encode(JoinReply{5}))).generation, 5);
  expect_same(decode(through_bytes(encode(sample_heartbeat()))), sample_heartbeat());
  expect_same(decode(through_bytes(encode(HeartbeatReply{sample_commands()}))).commands,
              sample_commands());
  expect_same(decode(through_bytes(encode(sample_step()))), sample_step());
  expect_same(decode(through_bytes(encode(sample_shard()))), sample_shard());
  const PrepareReply prepared = decode(through_bytes(encode(PrepareReply{true, 3})));
  EXPECT_TRUE(prepared.agreed);
  EXPECT_EQ(prepared.prepared_ranks, 3);
  expect_same(decode(through_bytes(encode(sample_commit()))), sample_commit());
  expect_same(decode(through_bytes(encode(sample_status()))), sample_status());
  EXPECT_EQ(decode(through_bytes(encode_watch(0.5))), 0.5);
}

TEST(Messages, every_command_keeps_its_kind_and_its_number_in_the_protocol) {
  EXPECT_EQ(encode(CommandKind::kSave).kind(), v1::COMMAND_KIND_SAVE);
  EXPECT_EQ(encode(CommandKind::kStop).kind(), v1::COMMAND_KIND_STOP);
  EXPECT_EQ(encode(CommandKind::kStopAndRequeue).kind(), v1::COMMAND_KIND_STOP_AND_REQUEUE);
  EXPECT_EQ(encode(CommandKind::kRebalance).kind(), v1::COMMAND_KIND_REBALANCE);
  for (const CommandKind kind : kCommandKinds) EXPECT_EQ(decode(encode(kind)), kind);
}

TEST(Messages, a_loss_that_is_no_number_stays_none) {
  StepReport report = sample_step();
  report.record.loss = std::nan("");
  EXPECT_TRUE(std::isnan(decode(through_bytes(encode(report))).record.loss));
}

TEST(Messages, text_of_255_bytes_passes_and_of_256_is_refused_by_name) {
  v1::JoinRequest message = encode(sample_join());
  message.set_host(std::string(255, 'h'));
  EXPECT_EQ(decode(message).host.size(), 255U);
  message.set_host(std::string(256, 'h'));
  EXPECT_THAT(refusal_of([&] { decode(message); }),
              AllOf(HasSubstr("host"), HasSubstr("256"), HasSubstr("255")));
}

/// Sets one text too long and tells which field the refusal names.
template <typename Message>
std::string refusal_with(Message message, const std::function<void(Message&, std::string)>& set) {
  set(message, std::string(coordinator_limits::kNameBytes + 1, 'x'));
  return refusal_of([&] { decode(message); });
}

TEST(Messages, every_text_of_a_request_is_bounded) {
  using Join = v1::JoinRequest;
  using Beat = v1::HeartbeatRequest;
  using Prepare = v1::PrepareCheckpointRequest;
  const Join join = encode(sample_join());
  const Beat beat = encode(sample_heartbeat());
  const Prepare prepare = encode(sample_shard());
  EXPECT_THAT(refusal_with<Join>(join, [](Join& m, auto t) { m.mutable_member()->set_run(t); }),
              HasSubstr("member.run"));
  EXPECT_THAT(refusal_with<Join>(join, [](Join& m, auto t) { m.set_metrics_address(t); }),
              HasSubstr("metrics_address"));
  EXPECT_THAT(refusal_with<Beat>(beat, [](Beat& m, auto t) { m.set_phase(t); }),
              HasSubstr("phase"));
  EXPECT_THAT(refusal_with<Beat>(beat, [](Beat& m, auto t) { m.set_collective(t); }),
              HasSubstr("collective"));
  EXPECT_THAT(
      refusal_with<Prepare>(prepare, [](Prepare& m, auto t) { m.set_configuration_digest(t); }),
      HasSubstr("configuration_digest"));
  EXPECT_THAT(
      refusal_with<Prepare>(prepare, [](Prepare& m, auto t) { m.mutable_files(0)->set_name(t); }),
      HasSubstr("files.name"));
  EXPECT_THAT(
      refusal_with<Prepare>(prepare, [](Prepare& m, auto t) { m.mutable_files(0)->set_digest(t); }),
      HasSubstr("files.digest"));
}

TEST(Messages, lists_beyond_their_bound_are_refused_both_ways) {
  v1::PrepareCheckpointRequest prepare = encode(sample_shard());
  while (prepare.files().size() < 16) prepare.add_files();
  EXPECT_EQ(decode(prepare).files.size(), 16U);
  prepare.add_files();
  EXPECT_THAT(refusal_of([&] { decode(prepare); }), AllOf(HasSubstr("files"), HasSubstr("17")));

  HeartbeatReply reply;
  reply.commands.resize(65);
  EXPECT_THAT(refusal_of([&] { encode(reply); }), AllOf(HasSubstr("commands"), HasSubstr("65")));
  v1::StatusReply status = encode(sample_status());
  while (status.commands().size() <= 16) status.add_commands()->set_kind(v1::COMMAND_KIND_SAVE);
  EXPECT_THAT(refusal_of([&] { decode(status); }), AllOf(HasSubstr("commands"), HasSubstr("17")));
}

TEST(Messages, a_missing_part_is_named) {
  EXPECT_THAT(refusal_of([] { decode(v1::JoinRequest()); }), HasSubstr("member: missing"));
  EXPECT_THAT(refusal_of([] { decode(v1::HeartbeatRequest()); }), HasSubstr("member: missing"));
  EXPECT_THAT(refusal_of([] { decode(v1::PrepareCheckpointRequest()); }),
              HasSubstr("member: missing"));
  EXPECT_THAT(refusal_of([] { decode(v1::CommitCheckpointRequest()); }),
              HasSubstr("member: missing"));
  v1::ReportStepRequest report;
  EXPECT_THAT(refusal_of([&] { decode(report); }), HasSubstr("record: missing"));
  report.mutable_record();
  EXPECT_THAT(refusal_of([&] { decode(report); }), HasSubstr("member: missing"));
  report.mutable_member();
  EXPECT_THAT(refusal_of([&] { decode(report); }), HasSubstr("record.phase_seconds: missing"));
  EXPECT_THAT(refusal_of([] { decode(v1::CommandReply()); }), HasSubstr("command: missing"));
  EXPECT_THAT(refusal_of([] { decode(v1::StatusReply()); }), HasSubstr("last_step: missing"));
}

TEST(Messages, unknown_enumerators_are_refused_with_the_list_of_known_ones) {
  v1::CommandRequest message;
  for (const int kind : {0, 5, -1, 1'000'000}) {
    message.set_kind(static_cast<v1::CommandKind>(kind));
    EXPECT_THAT(refusal_of([&] { decode(through_bytes(message)); }),
                AllOf(HasSubstr(std::to_string(kind)),
                      HasSubstr("save, stop, stop_and_requeue, rebalance")));
  }
}

TEST(Messages, text_that_is_not_utf8_is_refused_before_it_is_sent) {
  JoinRequest request = sample_join();
  request.host = "h\xC3(";
  EXPECT_THAT(refusal_of([&] { encode(request); }),
              AllOf(HasSubstr("host"), HasSubstr("UTF-8"), HasSubstr("byte 2")));
}

TEST(Messages, a_watch_comes_every_fifth_of_a_second_to_every_minute) {
  for (const double seconds : {0.2, 60.0}) EXPECT_EQ(decode(encode_watch(seconds)), seconds);
  for (const double seconds : {0.0, -1.0, 0.19, 60.1, std::nan(""), HUGE_VAL}) {
    v1::WatchRequest message;
    message.set_seconds(seconds);
    EXPECT_THAT(refusal_of([&] { decode(message); }), HasSubstr("0.2 to 60")) << seconds;
  }
}

TEST(Messages, ranks_of_a_status_that_cannot_be_are_refused) {
  v1::StatusReply status = encode(sample_status());
  status.set_ranks(65'537);
  EXPECT_THAT(refusal_of([&] { decode(status); }), HasSubstr("ranks: 65537"));
  status = encode(sample_status());
  status.add_silent_ranks(-1);
  EXPECT_THAT(refusal_of([&] { decode(status); }), HasSubstr("silent_ranks: -1"));
}

}  // namespace
}  // namespace hetmoe
