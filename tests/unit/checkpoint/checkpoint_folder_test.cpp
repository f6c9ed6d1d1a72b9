#include "runtime/checkpoint/checkpoint_folder.h"

#include <gmock/gmock.h>

#include <functional>
#include <optional>

#include "core/base/error.h"
#include "runtime/checkpoint/checkpoint_reader.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/checkpoint/small_checkpoint.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string refusal_of(const std::function<void()>& action) {
  return message_of<StorageError>(action);
}

class Folder : public ::testing::Test {
 protected:
  std::vector<std::int64_t> steps() const {
    std::vector<std::int64_t> found;
    for (const SavedStep& saved : checkpoints_.steps()) found.push_back(saved.step);
    return found;
  }

  /// Markers are all that pruning looks at.
  void make(std::int64_t step, bool committed) const {
    const fs::path folder = checkpoints_.begin(step);
    std::ofstream(folder / "rank-0.safetensors") << "data";
    if (committed) std::ofstream(folder / "COMMITTED") << "step";
  }

  std::vector<std::int64_t> prune(const Retention& retention = {}) {
    failures_.clear();
    return checkpoints_.prune(retention, failures_);
  }

  const TemporaryFolder run_;
  const CheckpointFolder checkpoints_{run_.path() / "checkpoints"};
  std::vector<std::string> failures_;
};

TEST(StepFolder, HasOneNamePerStep) {
  EXPECT_EQ(step_folder_name(0), "step-00000000");
  EXPECT_EQ(step_folder_name(100), "step-00000100");
  EXPECT_EQ(step_folder_name(1234567890123), "step-1234567890123");
  for (const std::int64_t step : {0L, 7L, 99999999L, 100000000L, 9223372036854775807L}) {
    EXPECT_EQ(step_of_folder(step_folder_name(step)), step);
  }
  for (const std::string name :
       {"", "step-", "step-100", "step-000000100", "step-0000010x", "step-00000100.part",
        "step--0000100", "step-+0000100", " step-00000100", "Step-00000100",
        "step-9223372036854775808", "step-99999999999999999999"}) {
    EXPECT_EQ(step_of_folder(name), std::nullopt) << name;
  }
}

TEST_F(Folder, ListsStepsInOrderAndNothingElse) {
  EXPECT_THAT(steps(), IsEmpty());
  save_small(checkpoints_, 1000);
  checkpoints_.begin(100);
  save_small(checkpoints_, 20);
  fs::create_directory(checkpoints_.path() / "step-5");
  std::ofstream(checkpoints_.path() / "step-00000007") << "a file";
  const std::vector<SavedStep> found = checkpoints_.steps();
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].step, 20);
  EXPECT_TRUE(found[0].committed);
  EXPECT_EQ(found[1].step, 100);
  EXPECT_FALSE(found[1].committed);
  EXPECT_EQ(found[1].path, checkpoints_.path_of(100));
  EXPECT_EQ(found[2].step, 1000);
  EXPECT_TRUE(found[2].committed);
}

TEST_F(Folder, BeginsAStepAnewOverWhatAnUnfinishedSaveLeft) {
  const fs::path folder = checkpoints_.begin(100);
  fs::create_directory(folder / "deeper");
  std::ofstream(folder / "deeper" / "file") << "x";
  std::ofstream(folder / "manifest.json") << "{}";
  EXPECT_EQ(checkpoints_.begin(100), folder);
  EXPECT_TRUE(fs::is_empty(folder));
}

TEST_F(Folder, NeverBeginsOrCommitsACommittedStepAgain) {
  save_small(checkpoints_, 100);
  EXPECT_THAT(refusal_of([&] { checkpoints_.begin(100); }), HasSubstr("committed already"));
  EXPECT_THAT(refusal_of([&] { checkpoints_.commit(small_manifest(100)); }),
              HasSubstr("committed already"));
  CheckpointReader(checkpoints_.path_of(100)).verify();
}

TEST_F(Folder, CommitsNothingThatCouldNotBeRead) {
  const fs::path folder = checkpoints_.begin(100);
  Manifest whole = small_manifest(100);
  write_small_files(folder, whole);

  Manifest manifest = whole;
  manifest.files[1].bytes += 1;
  EXPECT_THAT(refusal_of([&] { checkpoints_.commit(manifest); }),
              HasSubstr("rank-1.safetensors: has "));
  manifest = whole;
  manifest.files.push_back({"rank-3.safetensors", 8, manifest.files[0].digest});
  EXPECT_THAT(refusal_of([&] { checkpoints_.commit(manifest); }),
              HasSubstr("rank-3.safetensors': No such file"));
  manifest = whole;
  manifest.tensors.at("embedding").parts.pop_back();
  EXPECT_THAT(refusal_of([&] { checkpoints_.commit(manifest); }), HasSubstr("end at row 2"));
  EXPECT_FALSE(fs::exists(folder / "manifest.json"));
  EXPECT_FALSE(fs::exists(folder / "COMMITTED"));

  checkpoints_.commit(whole);
  CheckpointReader(folder).verify();
}

TEST_F(Folder, WritesNoMarkerWhenTheManifestCannotBeWritten) {
  const fs::path folder = checkpoints_.begin(100);
  Manifest manifest = small_manifest(100);
  write_small_files(folder, manifest);
  fs::create_directories(folder / "manifest.json" / "in the way");
  EXPECT_THAT(refusal_of([&] { checkpoints_.commit(manifest); }),
              HasSubstr("cannot write '" + (folder / "manifest.json").string()));
  EXPECT_FALSE(is_committed(folder));
}

TEST_F(Folder, NamesAPathThatIsNoFolder) {
  std::ofstream(run_.path() / "file") << "";
  const CheckpointFolder blocked(run_.path() / "file");
  EXPECT_THAT(refusal_of([&] { blocked.begin(1); }), HasSubstr("/file': "));
  EXPECT_THAT(refusal_of([&] { blocked.steps(); }), HasSubstr("/file': Not a directory"));
  std::vector<std::string> failures;
  EXPECT_THAT(blocked.prune({}, failures), IsEmpty());
  EXPECT_THAT(failures, ElementsAre(HasSubstr("/file': Not a directory")));
  fs::create_directory(checkpoints_.path());
  std::ofstream(checkpoints_.path_of(1)) << "";
  EXPECT_THAT(refusal_of([&] { checkpoints_.begin(1); }), HasSubstr("step-00000001': "));
}

TEST_F(Folder, RemovesAStepWithAllItHolds) {
  save_small(checkpoints_, 100);
  save_small(checkpoints_, 200);
  checkpoints_.remove(100);
  EXPECT_THAT(steps(), ElementsAre(200));
  EXPECT_FALSE(fs::exists(checkpoints_.path_of(100)));
  checkpoints_.remove(100);  // is gone already
  checkpoints_.begin(300);
  checkpoints_.remove(300);
  EXPECT_THAT(steps(), ElementsAre(200));
}

TEST_F(Folder, KeepsTheNewestCommittedSteps) {
  for (const std::int64_t step : {1, 2, 3, 4, 5}) make(step, true);
  EXPECT_THAT(prune({.newest = 5}), IsEmpty());
  EXPECT_THAT(prune({.newest = 6}), IsEmpty());
  EXPECT_THAT(prune({.newest = 3}), ElementsAre(1, 2));
  EXPECT_THAT(prune(), ElementsAre(3));
  EXPECT_THAT(prune(), IsEmpty());
  EXPECT_THAT(steps(), ElementsAre(4, 5));
  EXPECT_THAT(failures_, IsEmpty());
}

TEST_F(Folder, KeepsEveryStepOfAChosenMultiple) {
  for (const std::int64_t step : {0, 1, 2, 4, 6, 8, 9, 10, 11}) make(step, true);
  EXPECT_THAT(prune({.newest = 2, .every_steps = 4}), ElementsAre(1, 2, 6, 9));
  EXPECT_THAT(steps(), ElementsAre(0, 4, 8, 10, 11));
}

TEST_F(Folder, CountsNoUnfinishedStepAmongTheNewest) {
  make(1, true);
  make(2, false);
  make(3, true);
  make(4, false);
  make(5, true);
  make(6, false);
  make(7, false);
  EXPECT_THAT(prune(), ElementsAre(1, 2, 4));
  EXPECT_THAT(steps(), ElementsAre(3, 5, 6, 7));
}

TEST_F(Folder, KeepsUnfinishedStepsWhileNothingIsCommitted) {
  make(1, false);
  make(2, false);
  EXPECT_THAT(prune(), IsEmpty());
}

TEST_F(Folder, KeepsFewerThanTwoForNobody) { EXPECT_THROW(prune({.newest = 1}), InternalError); }

TEST_F(Folder, LeavesAStepThatIsBeingReadForLater) {
  for (const std::int64_t step : {100, 200, 300, 400}) save_small(checkpoints_, step);
  std::optional<CheckpointReader> first(checkpoints_.path_of(100));
  {
    const CheckpointReader second(checkpoints_.path_of(100));
    const CheckpointReader moved(std::move(*first));
    first.reset();
    EXPECT_THAT(prune(), ElementsAre(200));
    moved.verify();
  }
  EXPECT_THAT(failures_, IsEmpty());
  EXPECT_THAT(prune(), ElementsAre(100));
}

TEST_F(Folder, LeavesLinkedStepsAlone) {
  const fs::path elsewhere = run_.path() / "kept";
  for (const std::int64_t step : {100, 200, 300}) save_small(checkpoints_, step);
  fs::rename(checkpoints_.path_of(100), elsewhere);
  fs::create_directory_symlink(elsewhere, checkpoints_.path_of(100));
  EXPECT_THAT(prune(), IsEmpty());
  EXPECT_THAT(failures_, IsEmpty());
  EXPECT_THAT(refusal_of([&] { checkpoints_.remove(100); }), HasSubstr("symbolic link"));
  EXPECT_THAT(steps(), ElementsAre(100, 200, 300));
  CheckpointReader(checkpoints_.path_of(100)).verify();
}

TEST_F(Folder, TakesNoStepForUnfinishedWhoseMarkerCannotBeSeen) {
  for (const std::int64_t step : {1, 2, 3, 4}) make(step, true);
  const fs::path marker = checkpoints_.path_of(1) / "COMMITTED";
  fs::remove(marker);
  fs::create_symlink(marker, marker);  // whoever follows it gets ELOOP
  EXPECT_THAT(refusal_of([&] { is_committed(checkpoints_.path_of(1)); }),
              HasSubstr("cannot read '" + marker.string()));
  EXPECT_THAT(prune(), IsEmpty());
  EXPECT_THAT(failures_, ElementsAre(HasSubstr(marker.string())));
  EXPECT_TRUE(fs::exists(checkpoints_.path_of(1) / "rank-0.safetensors"));
}

TEST_F(Folder, GoesOnPastAStepThatCannotBeRemoved) {
  for (const std::int64_t step : {1, 2, 3, 4}) make(step, true);
  // A marker that is a folder with something in it can be neither locked nor removed.
  fs::remove(checkpoints_.path_of(1) / "COMMITTED");
  fs::create_directories(checkpoints_.path_of(1) / "COMMITTED" / "deeper");
  EXPECT_THAT(prune(), ElementsAre(2));
  EXPECT_THAT(failures_, ElementsAre(HasSubstr("step-00000001/COMMITTED'")));
  EXPECT_THAT(steps(), ElementsAre(1, 3, 4));
}

}  // namespace
}  // namespace hetmoe
