// Preparations that end early, and what the next one of the same options makes of it.

#include <gmock/gmock.h>

#include <filesystem>
#include <map>

#include "core/base/error.h"
#include "core/data/prepare.h"
#include "english_sample.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

using testing::Contains;
using testing::HasSubstr;
using testing::Key;
using testing::Not;

struct Interrupted : std::runtime_error {
  Interrupted() : std::runtime_error("interrupted") {}
};

class PrepareResume : public testing::Test {
 protected:
  PrepareResume() {
    std::string text;
    for (int i = 0; i < 60000; ++i) {
      text += "document " + std::to_string(i) + " " + std::string(i % 90, 'x') + "\n\n";
    }
    options_ = {.inputs = {folder_.write("text", text)},
                .out_directory = folder_ / "out",
                .tokenizer = "bytes",
                .valid_fraction = 0.1,
                .document_separator = "blank-line",
                .workers = 2,
                .save_every_bytes = 1,
                .sentencepiece_executable = HETMOE_SENTENCEPIECE};
  }

  static std::map<std::string, std::string> files(const fs::path& folder) {
    std::map<std::string, std::string> out;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (!entry.is_regular_file()) continue;
      out[fs::relative(entry.path(), folder).string()] = contents_of(entry.path().string());
    }
    return out;
  }

  std::map<std::string, std::string> whole() {
    PrepareOptions options = options_;
    options.out_directory = folder_ / "whole";
    options.overwrite = true;
    prepare(options);
    return files(folder_ / "whole");
  }

  /// Stops in the n-th call of the listener; false where the work was done before.
  bool interrupt(int n) {
    try {
      prepare(options_, [&](const PrepareProgress& progress) {
        if (progress.stage != "done" && n-- == 0) throw Interrupted();
      });
    } catch (const Interrupted&) {
      return true;
    }
    return false;
  }

  TemporaryFolder folder_;
  PrepareOptions options_;
};

TEST_F(PrepareResume, MakesTheSameBytesAfterEveryInterruption) {
  const auto expected = whole();
  int calls = 0;
  for (; interrupt(calls); ++calls) {
    const bool resumes = fs::exists(folder_ / "out/unfinished.json");
    EXPECT_EQ(resumes, calls > 0) << "the first call comes before anything is saved";
    EXPECT_THAT(fs::exists(folder_ / "out") ? files(folder_ / "out") : expected,
                testing::AnyOf(expected, Not(Contains(Key("train.idx")))));
    prepare(options_);
    ASSERT_TRUE(files(folder_ / "out") == expected) << "interrupted in call " << calls;
    fs::remove_all(folder_ / "out");
  }
  EXPECT_GE(calls, 4);
}

TEST_F(PrepareResume, GoesOnAfterManyInterruptionsInARow) {
  const auto expected = whole();
  int interruptions = 0;
  while (interrupt(1)) ++interruptions;
  EXPECT_GE(interruptions, 3);
  EXPECT_TRUE(files(folder_ / "out") == expected);
}

TEST_F(PrepareResume, KeepsWhatWasTrained) {
  options_.inputs.push_back(folder_.write("more", english_sample(3000)));
  options_.tokenizer = "";
  options_.train_vocabulary = 400;
  options_.save_every_bytes = std::int64_t{1} << 40;
  const auto expected = whole();
  ASSERT_TRUE(interrupt(4));
  ASSERT_TRUE(fs::exists(folder_ / "out/unfinished.json"));
  // The trainer could not run again: it is not there.
  options_.sentencepiece_executable = folder_.write(
      "no-trainer", "#!/bin/sh\n[ $1 = serve ] || exit 1\nexec " HETMOE_SENTENCEPIECE " \"$@\"\n");
  fs::permissions(options_.sentencepiece_executable, fs::perms::owner_all);
  prepare(options_);
  EXPECT_TRUE(files(folder_ / "out") == expected);
}

// Every state that a process can leave that dies while files take their names.
TEST_F(PrepareResume, EndsWhatWasInterruptedWhileFilesTookTheirNames) {
  const auto expected = whole();
  // A sealed folder: as it is when all is written and the first file cannot take its name.
  fs::create_directories(folder_ / "out/train.bin/in-the-way");
  options_.overwrite = true;
  EXPECT_THROW(prepare(options_), StorageError);
  options_.overwrite = false;
  fs::remove_all(folder_ / "out/train.bin");
  const auto sealed = files(folder_ / "out");
  EXPECT_THAT(sealed.at("unfinished.json"), HasSubstr("\"sealed\""));
  EXPECT_THAT(sealed, Not(Contains(Key("train.idx"))));
  const std::vector<std::string> order = {"train.bin",  "train.json", "valid.bin",
                                          "valid.json", "train.idx",  "valid.idx"};
  for (std::size_t named = 0; named <= order.size(); ++named) {
    fs::remove_all(folder_ / "out");
    fs::create_directories(folder_ / "out");
    for (const auto& [name, contents] : sealed) folder_.write("out/" + name, contents);
    for (std::size_t i = 0; i < named; ++i) {
      fs::rename(folder_ / ("out/" + order[i] + ".partial"), folder_ / ("out/" + order[i]));
    }
    folder_.write("out/.unfinished.json.part-17", "half a st");  // of one killed while it saved
    const PrepareSummary summary = prepare(options_);
    EXPECT_EQ(summary.train.documents + summary.valid.documents, 60000);
    ASSERT_TRUE(files(folder_ / "out") == expected) << named << " had their names";
  }
}

TEST_F(PrepareResume, DoesNotTouchTheOldResultBeforeTheNewOneIsWhole) {
  const auto old = [&] {
    PrepareOptions options = options_;
    options.seed = 5;
    prepare(options);
    return files(folder_ / "out");
  }();
  options_.overwrite = true;
  ASSERT_TRUE(interrupt(2));
  for (const auto& [name, contents] : old) {
    EXPECT_TRUE(contents_of(folder_ / ("out/" + name)) == contents) << name;
  }
  options_.overwrite = false;
  EXPECT_THAT(message_of<ConfigError>([&] { prepare(options_); }), HasSubstr("exists; --force"));
  options_.overwrite = true;
  const auto expected = whole();
  prepare(options_);
  EXPECT_TRUE(files(folder_ / "out") == expected);
}

TEST_F(PrepareResume, NamesWhatDiffersFromTheInterruptedCommand) {
  ASSERT_TRUE(interrupt(2));
  const auto message = [&](auto&& change) {
    PrepareOptions options = options_;
    change(options);
    return message_of<ConfigError>([&] { prepare(options); });
  };
  EXPECT_THAT(message([](auto& o) { o.seed = 3; }),
              HasSubstr("(seed 1, now 3); --force begins anew"));
  EXPECT_THAT(message([](auto& o) { o.max_document_bytes = 9; }), HasSubstr("longest document"));
  EXPECT_THAT(message([](auto& o) { o.valid_fraction = 0.2; }), HasSubstr("valid fraction 0.1"));
  EXPECT_THAT(message([](auto& o) { o.document_separator = "file"; }), HasSubstr("now file"));
  EXPECT_THAT(message([](auto& o) { o.json_field = "body"; }), HasSubstr("JSON field"));
  EXPECT_THAT(message([](auto& o) { o.inputs.push_back(o.inputs[0]); }),
              HasSubstr("inputs 1 files"));
  options_.workers = 5;  // changes nothing of the result
  const auto expected = whole();
  prepare(options_);
  EXPECT_TRUE(files(folder_ / "out") == expected);
}

TEST_F(PrepareResume, LeavesNothingWhereOtherOptionsAreNeeded) {
  options_.document_separator = "%%";
  EXPECT_THROW(prepare(options_), ConfigError);
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

TEST_F(PrepareResume, GoesOnAfterAFileThatCouldNotBeWritten) {
  const auto expected = whole();
  ASSERT_TRUE(interrupt(2));
  const auto before = files(folder_ / "out");
  fs::create_directories(folder_ / "out/train.idx.partial");  // cannot be written
  EXPECT_THROW(prepare(options_), StorageError);
  fs::remove(folder_ / "out/train.idx.partial");
  EXPECT_EQ(files(folder_ / "out").at("unfinished.json"), before.at("unfinished.json"));
  prepare(options_);
  EXPECT_TRUE(files(folder_ / "out") == expected);
}

}  // namespace
}  // namespace hetmoe
