#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "core/files/safetensors.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

/// A file's contents, drawn from a seed.
struct RandomFile {
  std::vector<TensorInfo> tensors;
  std::map<std::string, std::string> metadata;
  std::vector<std::byte> data;
};

class Draw {
 public:
  explicit Draw(unsigned seed) : engine_(seed) {}
  int below(int limit) { return std::uniform_int_distribution<int>(0, limit - 1)(engine_); }

  /// Any characters, those that JSON escapes among them.
  std::string text(int most) {
    static const std::vector<std::string> characters = {"a",
                                                        "b",
                                                        ".",
                                                        "#",
                                                        ":",
                                                        "\"",
                                                        "\\",
                                                        "/",
                                                        "\n",
                                                        "\t",
                                                        std::string(1, '\0'),
                                                        "\x1f",
                                                        "\x7f",
                                                        "\xc3\xa9",
                                                        "\xe2\x82\xac",
                                                        "\xf0\x9f\x98\x80",
                                                        " "};
    std::string drawn;
    for (int i = below(most + 1); i > 0; --i) drawn += characters[below(characters.size())];
    return drawn;
  }

 private:
  std::mt19937 engine_;
};

RandomFile random_file(unsigned seed) {
  Draw draw(seed);
  RandomFile file;
  std::int64_t total_bytes = 0;
  const int tensors = draw.below(8);
  for (int i = 0; i < tensors; ++i) {
    TensorInfo tensor;
    tensor.name = std::to_string(i) + draw.text(20);
    tensor.type = static_cast<TensorType>(draw.below(static_cast<int>(TensorType::kU64) + 1));
    std::int64_t elements = 1;
    for (int dimension = draw.below(5); dimension > 0; --dimension) {
      tensor.shape.push_back(draw.below(8));
      elements *= tensor.shape.back();
    }
    const int bits = bits_of(tensor.type);
    if (bits < 8) {  // 8 elements always fill bytes
      tensor.shape.push_back(8);
      elements *= 8;
    }
    total_bytes += elements * bits / 8;
    file.tensors.push_back(tensor);
  }
  for (int i = draw.below(4); i > 0; --i) file.metadata.emplace(draw.text(5), draw.text(30));
  for (std::int64_t i = 0; i < total_bytes; ++i) {
    file.data.push_back(static_cast<std::byte>(draw.below(256)));
  }
  return file;
}

void write_in_pieces(const RandomFile& file, const std::string& path, Draw draw) {
  SafetensorsWriter writer(path, file.tensors, file.metadata);
  std::span<const std::byte> rest = file.data;
  while (!rest.empty()) {
    const auto piece = std::min<std::size_t>(rest.size(), draw.below(1000));
    writer.write(rest.first(piece));
    rest = rest.subspan(piece);
  }
  writer.finish();
}

void expect_same(const RandomFile& file, const SafetensorsReader& reader, Draw draw) {
  EXPECT_EQ(reader.header().metadata, file.metadata);
  ASSERT_EQ(reader.header().tensors.size(), file.tensors.size());
  auto expected = file.data.begin();
  for (const TensorInfo& tensor : file.tensors) {
    const TensorInfo* found = reader.find(tensor.name);
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->type, tensor.type);
    EXPECT_EQ(found->shape, tensor.shape);
    std::vector<std::byte> whole(found->bytes());
    reader.read(*found, 0, whole);
    EXPECT_TRUE(std::equal(whole.begin(), whole.end(), expected));
    const int begin = draw.below(static_cast<int>(whole.size()) + 1);
    const int end = begin + draw.below(static_cast<int>(whole.size()) - begin + 1);
    std::vector<std::byte> part(end - begin);
    reader.read(*found, begin, part);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), expected + begin));
    expected += static_cast<std::ptrdiff_t>(whole.size());
  }
  EXPECT_EQ(expected, file.data.end());
}

TEST(SafetensorsRoundTrip, GivesBackAnyFile) {
  const TemporaryFolder folder;
  for (unsigned seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    const RandomFile file = random_file(seed);
    const std::string path = folder / std::to_string(seed);
    write_in_pieces(file, path, Draw(seed + 1));
    expect_same(file, SafetensorsReader(path), Draw(seed + 2));
    if (testing::Test::HasFailure()) return;
  }
}

TEST(SafetensorsRoundTrip, GivesBackATensorLargerThanAnyBuffer) {
  const TemporaryFolder folder;
  RandomFile file = {.tensors = {{.name = "head", .type = TensorType::kU8, .shape = {3}},
                                 {.name = "large", .type = TensorType::kU8, .shape = {1300007}},
                                 {.name = "tail", .type = TensorType::kI16, .shape = {}}}};
  for (int i = 0; i < 1300012; ++i) file.data.push_back(static_cast<std::byte>(i * 131 >> 5));
  SafetensorsWriter writer(folder / "x", file.tensors, {});
  const std::span<const std::byte> data = file.data;
  writer.write(data.first(7));
  writer.write(data.subspan(7, 1200000));  // past the buffer, with some in it
  writer.write(data.subspan(1200007));
  writer.finish();
  expect_same(file, SafetensorsReader(folder / "x"), Draw(1));
}

TEST(SafetensorsRoundTrip, GivesBackManyTensors) {
  const TemporaryFolder folder;
  std::vector<TensorInfo> tensors;
  std::string data;
  for (int i = 0; i < 20000; ++i) {
    tensors.push_back({.name = "t" + std::to_string(i), .type = TensorType::kU8, .shape = {1}});
    data += static_cast<char>(i % 251);
  }
  SafetensorsWriter writer(folder / "x", tensors);
  writer.write(std::as_bytes(std::span(data)));
  writer.finish();
  const SafetensorsReader reader(folder / "x");
  std::byte value{};
  reader.read(*reader.find("t19999"), 0, std::span(&value, 1));
  EXPECT_EQ(std::to_integer<int>(value), 19999 % 251);
}

TEST(SafetensorsRoundTrip, GivesBackAFileOfNoTensors) {
  const TemporaryFolder folder;
  EXPECT_EQ(SafetensorsWriter(folder / "x", {}, {}).finish().bytes, 16);  // 8, then "{}      "
  EXPECT_TRUE(SafetensorsReader(folder / "x").header().tensors.empty());
}

}  // namespace
}  // namespace hetmoe
