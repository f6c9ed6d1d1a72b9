#pragma once

#include <memory>

#include "core/data/tokenizer.h"

namespace hetmoe {

class ChildProcess;

/// A tokenizer that runs in a process of its own and answers in frames (sentencepiece/server.h).
/// Starts a process (posix_spawn): not after MPI_Init. The child ends with this object.
/// Errors: StorageError with the child's own message, also when it dies or talks nonsense.
class ChildTokenizer : public Tokenizer {
 public:
  ~ChildTokenizer() override;

  using Tokenizer::encode;
  std::int64_t vocab_size() const override { return vocab_size_; }
  std::string digest() const override { return digest_; }  ///< of the file's bytes
  std::int32_t end_of_document() const override { return end_of_document_; }
  bool keeps_every_byte() const override { return keeps_every_byte_; }
  void encode(std::span<const std::string_view> texts,
              std::vector<std::vector<std::int32_t>>& out) override;
  std::string decode(std::span<const std::int32_t> tokens) override;

 protected:
  /// Starts `executable serve path` and asks what the tokenizer is. end_of_document() is -1 where
  /// it has none; the derived class refuses that.
  ChildTokenizer(const std::string& path, const std::string& executable);

 private:
  std::string exchange(const std::string& request);

  std::string path_;
  std::string digest_;
  std::unique_ptr<ChildProcess> child_;
  std::int64_t vocab_size_ = 0;
  std::int32_t end_of_document_ = -1;
  bool keeps_every_byte_ = false;
};

}  // namespace hetmoe
