#include "launcher/hostfile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<Host> parsed(std::string_view text) { return parse_hostfile(text, "hosts"); }

TEST(Hostfile, ReadsNamesAndSlots) {
  EXPECT_THAT(parsed("a slots=2\nnode-2.example slots=16 max_slots=32\n"),
              ElementsAre(Host{"a", 2}, Host{"node-2.example", 16}));
}

TEST(Hostfile, LeavesOutCommentsAndEmptyLines) {
  EXPECT_THAT(parsed("# all of them\n\n  a  slots = 2 # the first\r\n\t\nb slots=1"),
              ElementsAre(Host{"a", 2}, Host{"b", 1}));
}

TEST(Hostfile, AddsTheSlotsOfAHostThatComesAgain) {
  EXPECT_THAT(parsed("a slots=2\nb slots=1\na slots=3\n"), ElementsAre(Host{"a", 5}, Host{"b", 1}));
}

TEST(Hostfile, RefusesWhatItCannotCountOrPassOn) {
  for (const char* line :
       {"a", "a slots=", "a slots=0", "a slots=-1", "a slots=2x", "a slots=65537",
        "a slots=99999999999", "a slots=2 cores=4", "-v slots=1", "-oProxyCommand=x slots=1",
        "a,b slots=1", "a:4 slots=1", "a;reboot slots=1", "slots=4"}) {
    const std::string text = std::string("ok slots=1\n") + line + "\n";
    const std::string message = message_of<ConfigError>([&] { parsed(text); });
    EXPECT_THAT(message, HasSubstr("hosts:2: '" + std::string(line) + "'")) << line;
    EXPECT_THAT(message, HasSubstr("slots=N"));
  }
  EXPECT_EQ(message_of<ConfigError>([] { parsed("# none\n"); }), "hosts: names no host");
}

TEST(Hostfile, NamesAFileThatCannotBeRead) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<ConfigError>([&] { read_hostfile(folder / "none"); }),
              HasSubstr(folder / "none"));
  EXPECT_THAT(read_hostfile(folder.write("hosts", "a slots=3\n")), ElementsAre(Host{"a", 3}));
}

const std::vector<Host> kHosts = {{"a", 2}, {"b", 4}, {"c", 1}};

TEST(AnsweringHosts, KeepTheirOrderAndSlots) {
  std::vector<std::string> asked;
  const auto kept = answering(kHosts, [&](const std::vector<std::string>& names) {
    asked = names;
    return std::vector<bool>{true, false, true};
  });
  EXPECT_THAT(asked, ElementsAre("a", "b", "c"));
  EXPECT_THAT(kept, ElementsAre(Host{"a", 2}, Host{"c", 1}));
  EXPECT_EQ(total_slots(kept), 3);
  EXPECT_EQ(host_option(kept), "a:2,c:1");
}

TEST(AnsweringHosts, AreAllWhenNoneAnswers) {
  const auto none = [](const std::vector<std::string>& names) {
    return std::vector<bool>(names.size(), false);
  };
  EXPECT_EQ(answering(kHosts, none), kHosts);
}

TEST(ProbeBySsh, DoesNotAskThisHost) {
  EXPECT_EQ(probe_by_ssh({"localhost", "127.0.0.1"}), (std::vector<bool>{true, true}));
}

}  // namespace
}  // namespace hetmoe
