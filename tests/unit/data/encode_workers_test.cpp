#include "core/data/encode_workers.h"

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "core/data/byte_tokenizer.h"

namespace hetmoe {
namespace {

EncodeBatch numbered(std::int64_t number, std::int64_t bytes = 1) {
  EncodeBatch batch;
  batch.file_bytes = number;
  batch.record_bytes = bytes;
  return batch;
}

std::unique_ptr<Tokenizer> a_tokenizer() { return std::make_unique<ByteTokenizer>(); }

// The first batches take longest, so that they are done last.
TEST(EncodeWorkers, GiveBatchesBackInTheirOrder) {
  std::atomic<int> tokenizers_made = 0;
  EncodeWorkers workers(
      4, a_tokenizer(),
      [&] {
        ++tokenizers_made;
        return a_tokenizer();
      },
      [](EncodeBatch& batch, Tokenizer& tokenizer) {
        std::this_thread::sleep_for(std::chrono::microseconds(1000 / (batch.file_bytes + 1)));
        batch.skipped_lines = batch.file_bytes + tokenizer.end_of_document();
      });
  std::int64_t submitted = 0;
  for (std::int64_t taken = 0; taken < 300; ++taken) {
    while (submitted < 300 && workers.has_room()) workers.submit(numbered(submitted++));
    const EncodeBatch batch = workers.take();
    ASSERT_EQ(batch.file_bytes, taken);
    ASSERT_EQ(batch.skipped_lines, taken + 256);
  }
  EXPECT_TRUE(workers.is_empty());
  EXPECT_LE(tokenizers_made, 3);
}

TEST(EncodeWorkers, HoldNoMoreThanTheySay) {
  const auto held_when_full = [](std::int64_t batch_bytes) {
    EncodeWorkers workers(3, a_tokenizer(), a_tokenizer, [](EncodeBatch&, Tokenizer&) {});
    int held = 0;
    for (; workers.has_room(); ++held) workers.submit(numbered(held, batch_bytes));
    return held;
  };
  constexpr std::int64_t kMebibyte = 1 << 20;
  EXPECT_EQ(held_when_full(1), 12);
  EXPECT_EQ(held_when_full(kMebibyte), 12);
  EXPECT_EQ(held_when_full(2 * kMebibyte), 6);
  EXPECT_EQ(held_when_full(100 * kMebibyte), 3);
  EXPECT_EQ(held_when_full(600 * kMebibyte), 2);
  EXPECT_EQ(held_when_full(2000 * kMebibyte), 1);
}

TEST(EncodeWorkers, ThrowWhereTheBatchThatFailedWouldHaveCome) {
  EncodeWorkers workers(2, a_tokenizer(), a_tokenizer, [](EncodeBatch& batch, Tokenizer&) {
    if (batch.file_bytes == 3) throw std::runtime_error("three");
  });
  for (int i = 0; i < 6; ++i) workers.submit(numbered(i));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(workers.take().file_bytes, i);
  EXPECT_THROW(workers.take(), std::runtime_error);
  EXPECT_EQ(workers.take().file_bytes, 4);
}

TEST(EncodeWorkers, EndWhileBatchesAreStillInThem) {
  EncodeWorkers workers(2, a_tokenizer(), a_tokenizer, [](EncodeBatch&, Tokenizer&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  for (int i = 0; i < 8; ++i) workers.submit(numbered(i));
}

TEST(EncodeWorkers, TellOfATokenizerThatCannotBeMade) {
  EncodeWorkers workers(
      1, nullptr, []() -> std::unique_ptr<Tokenizer> { throw std::runtime_error("none"); },
      [](EncodeBatch&, Tokenizer&) {});
  workers.submit(numbered(0));
  EXPECT_THROW(workers.take(), std::runtime_error);
}

}  // namespace
}  // namespace hetmoe
