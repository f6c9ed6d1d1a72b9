#include "core/data/split_writer.h"

#include <utility>

#include "core/base/check.h"

namespace hetmoe {
namespace {

constexpr const char* kStream = "held-out split";

KeptShard kept(const SplitSize& size) {
  return {.documents = size.documents, .tokens = size.tokens};
}

}  // namespace

SplitWriter::SplitWriter(const SplitOptions& options)
    : random_(options.seed, kStream),
      valid_fraction_(options.valid_fraction),
      train_(options.train_prefix, options.vocab_size) {
  if (valid_fraction_ > 0) valid_.emplace(options.valid_prefix, options.vocab_size);
}

SplitWriter::SplitWriter(const SplitOptions& options, const SplitReached& saved)
    : random_(options.seed, kStream),
      valid_fraction_(options.valid_fraction),
      reached_(saved),
      train_(options.train_prefix, options.vocab_size, kept(saved.train)) {
  if (valid_fraction_ > 0) {
    valid_.emplace(options.valid_prefix, options.vocab_size, kept(saved.valid));
  }
}

void SplitWriter::append(const EncodedDocument& document) {
  if (!document.continues) ++reached_.documents;
  HETMOE_CHECK(reached_.documents > 0, "a piece of no document");
  const auto number = static_cast<std::uint64_t>(reached_.documents - 1);
  const bool is_held_out = random_.uniform(number, 0) < valid_fraction_;
  (is_held_out ? *valid_ : train_).append_document(document.tokens);
  SplitSize& size = is_held_out ? reached_.valid : reached_.train;
  size.raw_bytes += document.raw_bytes;
  size.documents += 1;
  size.tokens += static_cast<std::int64_t>(document.tokens.size());
}

void SplitWriter::save() {
  train_.sync();
  train_.keep();
  if (!valid_) return;
  valid_->sync();
  valid_->keep();
}

void SplitWriter::seal(ShardSidecar sidecar) {
  sidecar.raw_bytes = reached_.train.raw_bytes;
  train_.seal(sidecar);
  sidecar.raw_bytes = reached_.valid.raw_bytes;
  if (valid_) valid_->seal(sidecar);
}

bool saved_split_is_there(const SplitOptions& options, const SplitReached& saved) {
  const auto is_there = [&](const std::string& prefix, const SplitSize& size) {
    return kept_shard_is_there(prefix, options.vocab_size, kept(size));
  };
  return is_there(options.train_prefix, saved.train) &&
         (options.valid_fraction <= 0 || is_there(options.valid_prefix, saved.valid));
}

}  // namespace hetmoe
