#include "runtime/checkpoint/checkpoint_reader.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <functional>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/checkpoint/small_checkpoint.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string refusal_of(const std::function<void()>& action) {
  return message_of<StorageError>(action);
}

/// What opening and, after that, verifying everything says.
std::string refusal_of_opening(const fs::path& folder) {
  return refusal_of([&] { CheckpointReader{folder}; });
}
std::string refusal_of_verifying(const fs::path& folder) {
  return refusal_of([&] { CheckpointReader(folder).verify(); });
}

void rewrite(const fs::path& file, const std::string& contents) {
  std::ofstream(file, std::ios::binary) << contents;
}

void flip_byte(const fs::path& file, std::size_t place) {
  std::string contents = contents_of(file);
  contents.at(place) = static_cast<char>(contents.at(place) ^ 1);
  rewrite(file, contents);
}

class Reader : public ::testing::Test {
 protected:
  const TemporaryFolder run_;
  const CheckpointFolder checkpoints_{run_.path() / "checkpoints"};
  const fs::path step_ = save_small(checkpoints_, 100);
};

TEST_F(Reader, GivesEveryRangeOfRowsOfEveryTensor) {
  CheckpointReader reader(step_);
  EXPECT_EQ(reader.manifest().step, 100);
  EXPECT_EQ(reader.path(), step_);
  for (const auto& [name, tensor] : reader.manifest().tensors) {
    const std::vector<float> whole = small_values(reader.manifest(), name);
    const std::int64_t columns = tensor.columns();
    for (std::int64_t begin = 0; begin <= tensor.rows(); ++begin) {
      for (std::int64_t end = begin; end <= tensor.rows(); ++end) {
        std::vector<float> rows(static_cast<std::size_t>((end - begin) * columns), -1.0F);
        reader.read_rows(name, begin, end, rows);
        EXPECT_EQ(rows, std::vector<float>(whole.begin() + begin * columns,
                                           whole.begin() + end * columns))
            << name << " " << begin << ":" << end;
      }
    }
  }
  reader.verify();
}

TEST_F(Reader, OpensOnlyFilesThatHoldSomeOfTheRows) {
  CheckpointReader reader(step_);
  fs::remove(step_ / "rank-1.safetensors");
  std::vector<float> rows(6);
  reader.read_rows("embedding", 0, 2, rows);  // stands in rank-0
  EXPECT_EQ(rows.front(), small_values(reader.manifest(), "embedding").front());
  EXPECT_THAT(refusal_of([&] { reader.read_rows("embedding", 1, 3, rows); }),
              HasSubstr("rank-1.safetensors"));
}

TEST_F(Reader, GoesOnAfterAMove) {
  CheckpointReader first(step_);
  std::vector<float> rows(5);
  first.read_rows("final_norm", 0, 5, rows);
  CheckpointReader second(std::move(first));
  std::vector<float> again(5);
  second.read_rows("final_norm", 0, 5, again);
  EXPECT_EQ(rows, again);
  second.verify();
}

TEST_F(Reader, KnowsWhatIsNotThere) {
  CheckpointReader reader(step_);
  EXPECT_EQ(reader.find("head"), nullptr);
  ASSERT_NE(reader.find("embedding"), nullptr);
  std::vector<float> rows(3);
  EXPECT_THAT(refusal_of([&] { reader.read_rows("head", 0, 1, rows); }),
              HasSubstr("holds no tensor 'head'"));
  EXPECT_THROW(reader.read_rows("embedding", 7, 8, rows), InternalError);
  EXPECT_THROW(reader.read_rows("embedding", -1, 0, rows), InternalError);
  EXPECT_THROW(reader.read_rows("embedding", 0, 2, rows), InternalError);
}

TEST_F(Reader, MoreFilesThanMayBeOpenAtOnceAreRead) {
  constexpr std::int64_t kRows = 300;
  const fs::path folder = checkpoints_.begin(200);
  Manifest manifest = small_manifest(200);
  manifest.files.clear();
  manifest.tensors = {{"wide", {{kRows}, {}}}};
  for (std::int64_t row = 0; row < kRows; ++row) {
    const std::string key = part_key("wide", row, row + 1);
    const std::string name = "rank-" + std::to_string(row) + ".safetensors";
    SafetensorsWriter writer(folder / name, {{key, TensorType::kF32, {1}, 0, 0}});
    const auto value = static_cast<float>(row);
    writer.write(std::as_bytes(std::span(&value, 1)));
    const WrittenFile written = writer.finish();
    manifest.files.push_back({name, written.bytes, written.digest});
    manifest.tensors["wide"].parts.push_back({row, row + 1, name, key});
  }
  checkpoints_.commit(manifest);
  struct rlimit before {};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const struct rlimit few = {290, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &few);
  CheckpointReader reader(folder);
  std::vector<float> values(kRows);
  reader.read_rows("wide", 0, kRows, values);
  ::setrlimit(RLIMIT_NOFILE, &before);
  for (std::int64_t row = 0; row < kRows; ++row) {
    ASSERT_EQ(values[static_cast<std::size_t>(row)], static_cast<float>(row));
  }
}

TEST_F(Reader, NamesWhatIsWrongWhenItOpens) {
  struct Case {
    std::string message;
    std::function<void()> damage;
  };
  const fs::path marker = step_ / "COMMITTED", manifest = step_ / "manifest.json";
  const fs::path file = step_ / "rank-1.safetensors";
  const std::vector<Case> cases = {
      {"is no committed checkpoint: COMMITTED is missing", [&] { fs::remove(marker); }},
      {"manifest.json': No such file", [&] { fs::remove(manifest); }},
      {"rank-1.safetensors': No such file", [&] { fs::remove(file); }},
      {"rank-1.safetensors: has ", [&] { fs::resize_file(file, fs::file_size(file) - 1); }},
      {"rank-1.safetensors: has ", [&] { rewrite(file, contents_of(file) + "x"); }},
      {"rank-1.safetensors': it is no regular file",
       [&] {
         fs::remove(file);
         ::mkfifo(file.c_str(), 0600);
       }},
      {"manifest.json: its digest is xxh3-128:",
       [&] {
         std::string text = contents_of(manifest);
         rewrite(manifest, text.replace(text.find("204800"), 6, "204801"));
       }},
      {"manifest.json: its digest is xxh3-128:", [&] { fs::resize_file(manifest, 100); }},
      {"which COMMITTED does not name", [&] { rewrite(marker, ""); }},
      {"which COMMITTED does not name",
       [&] {
         fs::copy_file(save_small(checkpoints_, 200) / "COMMITTED", marker,
                       fs::copy_options::overwrite_existing);
       }},
      {"COMMITTED': it is longer than 4096 bytes",
       [&] { rewrite(marker, std::string(5000, 'a')); }},
      {"manifest.json: is of step 100, which COMMITTED or the folder's name does not say",
       [&] {
         std::string text = contents_of(marker);
         rewrite(marker, text.replace(0, 8, "step 101"));
       }},
  };
  for (const Case& damage : cases) {
    checkpoints_.remove(100);
    checkpoints_.remove(200);
    save_small(checkpoints_, 100);
    ASSERT_EQ(refusal_of_verifying(step_), "no error");
    damage.damage();
    EXPECT_THAT(refusal_of_opening(step_),
                AllOf(HasSubstr(damage.message), HasSubstr(step_.string()), Not(HasSubstr("\n"))));
  }
}

TEST_F(Reader, RefusesAStepUnderAnotherStepsName) {
  const fs::path renamed = checkpoints_.path_of(300);
  fs::rename(step_, renamed);
  EXPECT_THAT(refusal_of_opening(renamed), HasSubstr("is of step 100"));
  const fs::path kept = checkpoints_.path() / "best";
  fs::rename(renamed, kept);
  EXPECT_EQ(refusal_of_verifying(kept), "no error");
  EXPECT_EQ(refusal_of_verifying(kept / ""), "no error");
}

TEST_F(Reader, FindsAnyFlippedByte) {
  for (const std::string name : {"rank-0.safetensors", "rank-1.safetensors", "rank-2.safetensors",
                                 "manifest.json", "COMMITTED"}) {
    const fs::path file = step_ / name;
    const std::size_t stride = name == "manifest.json" ? 7 : 1;
    for (std::size_t place = 0; place < fs::file_size(file); place += stride) {
      flip_byte(file, place);
      ASSERT_THAT(refusal_of_verifying(step_),
                  HasSubstr(name == "COMMITTED" ? "manifest.json" : name))
          << place;
      flip_byte(file, place);
    }
  }
  EXPECT_EQ(refusal_of_verifying(step_), "no error");
}

TEST_F(Reader, VerifiesOneFileAlone) {
  const CheckpointReader reader(step_);
  flip_byte(step_ / "rank-1.safetensors", fs::file_size(step_ / "rank-1.safetensors") - 1);
  reader.verify_file(0);
  reader.verify_file(2);
  EXPECT_THAT(refusal_of([&] { reader.verify_file(1); }),
              HasSubstr("rank-1.safetensors: is damaged: its digest is xxh3-128:"));
  EXPECT_THROW(reader.verify_file(3), InternalError);
}

/// A checkpoint of one vector of 6 values whose file holds `tensors` instead, digests and all.
fs::path disagreeing(const CheckpointFolder& checkpoints, std::vector<TensorInfo> tensors) {
  const fs::path folder = checkpoints.begin(200);
  SafetensorsWriter writer(folder / "rank-0.safetensors", std::move(tensors));
  const std::vector<float> values(6);
  writer.write(std::as_bytes(std::span(values)));
  const WrittenFile written = writer.finish();
  Manifest manifest = small_manifest(200);
  manifest.files = {{"rank-0.safetensors", written.bytes, written.digest}};
  manifest.tensors = {{"a", {{6}, {{0, 6, "rank-0.safetensors", "a#0:6"}}}}};
  checkpoints.commit(manifest);
  return folder;
}

TEST_F(Reader, RefusesAFileWhoseHeaderSaysOtherwise) {
  const TensorInfo whole = {"a#0:6", TensorType::kF32, {6}, 0, 0};
  const std::vector<std::pair<std::vector<TensorInfo>, std::string>> cases = {
      {{whole}, "no error"},
      {{{"a#0:6", TensorType::kF32, {2, 3}, 0, 0}}, "tensor 'a#0:6' is missing or not of the type"},
      {{{"a#0:6", TensorType::kI32, {6}, 0, 0}}, "tensor 'a#0:6' is missing or not of the type"},
      {{{"b#0:6", TensorType::kF32, {6}, 0, 0}}, "tensor 'a#0:6' is missing or not of the type"},
      {{{"a#0:6", TensorType::kF32, {5}, 0, 0}, {"b", TensorType::kF32, {1}, 0, 0}},
       "holds 2 tensors, manifest.json says 1"},
  };
  for (const auto& [tensors, message] : cases) {
    checkpoints_.remove(200);
    const fs::path folder = disagreeing(checkpoints_, tensors);
    EXPECT_THAT(refusal_of_verifying(folder), HasSubstr(message));
    std::vector<float> values(6);
    EXPECT_THAT(refusal_of([&] { CheckpointReader(folder).read_rows("a", 0, 6, values); }),
                HasSubstr(message));
  }
}

TEST_F(Reader, OfARunDirectoryIsThatOfTheNewestCommittedStep) {
  save_small(checkpoints_, 20);
  checkpoints_.begin(200);
  EXPECT_EQ(resolve_checkpoint(run_.path()), step_);
  EXPECT_EQ(resolve_checkpoint(run_.path() / ""), step_);
  EXPECT_EQ(resolve_checkpoint(checkpoints_.path()), step_);
  EXPECT_EQ(resolve_checkpoint(checkpoints_.path_of(20)), checkpoints_.path_of(20));
  fs::rename(checkpoints_.path_of(20), run_.path() / "best");
  EXPECT_EQ(resolve_checkpoint(run_.path() / "best"), run_.path() / "best");
  EXPECT_EQ(step_folders(run_.path()), (std::vector<fs::path>{step_, checkpoints_.path_of(200)}));
}

TEST_F(Reader, NeedsACommittedCheckpoint) {
  const fs::path unfinished = checkpoints_.begin(200);
  const TemporaryFolder empty;
  for (const fs::path& path : {unfinished, empty.path()}) {
    EXPECT_THAT(refusal_of([&] { resolve_checkpoint(path); }),
                AllOf(HasSubstr("'" + path.string() + "' holds no committed checkpoint"),
                      HasSubstr("allowed: a run directory")));
  }
  EXPECT_THAT(refusal_of([&] { resolve_checkpoint(empty.path() / "absent"); }),
              HasSubstr("absent': No such file"));
  const std::string file = empty.write("file", "");
  EXPECT_THAT(refusal_of([&] { resolve_checkpoint(file); }), HasSubstr("it is no folder"));
  EXPECT_THAT(refusal_of_opening(empty.path() / "absent"), HasSubstr("No such file"));
}

}  // namespace
}  // namespace hetmoe
