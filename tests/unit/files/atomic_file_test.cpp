#include "core/files/atomic_file.h"

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "tests/support/small_disk.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(AtomicFile, ReplacesWhatWasThereAndLeavesNothingBeside) {
  const TemporaryFolder folder;
  folder.write("a", "something longer");
  write_file_atomically(folder / "a", "new");
  EXPECT_EQ(contents_of(folder / "a"), "new");
  EXPECT_THAT(folder.names(), ElementsAre("a"));
}

TEST(AtomicFile, MayBeEmpty) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "a", "");
  EXPECT_THAT(folder.names(), ElementsAre("a"));
  EXPECT_EQ(contents_of(folder / "a"), "");
}

TEST(AtomicFile, KeepsTheOldContentsOnAFullDisk) {
  const TemporaryFolder folder;
  folder.write("a", "old");
  const auto message = message_of<StorageError>([&] {
    const SmallDisk disk(4096);
    write_file_atomically(folder / "a", std::string(10000, 'x'));
  });
  EXPECT_THAT(message, AllOf(HasSubstr(folder / "a"), HasSubstr("File too large")));
  EXPECT_EQ(contents_of(folder / "a"), "old");
  EXPECT_THAT(folder.names(), ElementsAre("a"));
}

TEST(AtomicFile, NamesAFolderThatIsMissing) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<StorageError>([&] { write_file_atomically(folder / "no/a", "text"); }),
              AllOf(HasSubstr(folder / "no/a"), HasSubstr("No such file or directory")));
  EXPECT_THAT(message_of<StorageError>([&] { require_writable(folder / "no/a"); }),
              HasSubstr(folder / "no/a"));
}

TEST(AtomicFile, IsRefusedInTheFoldersPlaceBeforeTheWork) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<StorageError>([&] { require_writable(folder.path()); }),
              HasSubstr("Is a directory"));
  EXPECT_NO_THROW(require_writable(folder / "a"));
  EXPECT_THAT(folder.names(), testing::IsEmpty());
}

}  // namespace
}  // namespace hetmoe
