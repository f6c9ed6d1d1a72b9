#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/data/flat_format.h"
#include "core/data/mapped_file.h"
#include "core/data/token_source.h"

namespace hetmoe {

/// One file of llm.c (both versions) or nanoGPT, mapped. There is no index: where documents begin
/// is seen from the tokens of a window when it is read. Move-only.
class FlatShard final : public TokenSource {
 public:
  /// Cost: the first page. Errors: StorageError, see recognize_flat_format.
  static FlatShard open(const std::string& path);

  const std::string& name() const override { return file_.path(); }
  std::string format() const override { return format_.name; }
  std::string vocabulary() const override { return format_.vocabulary; }
  TokenType token_type() const override { return format_.type; }
  std::int64_t num_files() const override { return 1; }
  std::int64_t num_tokens() const override { return num_tokens_; }
  std::optional<std::int64_t> indexed_documents() const override { return std::nullopt; }
  void read_checked(std::int64_t begin, std::span<std::int32_t> out,
                    std::int64_t vocab_size) const override;
  /// The first token of a nanoGPT file begins a document; that of llm.c does so only if it is the
  /// end-of-text id, because llm.c cuts documents where a file is full.
  void find_documents(std::int64_t begin, std::span<const std::int32_t> tokens,
                      std::vector<std::int64_t>& starts) const override;
  const std::optional<ShardSidecar>& sidecar() const override { return sidecar_; }

 private:
  explicit FlatShard(MappedFile file);
  bool ends_text_before(std::int64_t token) const;

  MappedFile file_;
  FlatFormat format_;
  std::int64_t num_tokens_;
  std::optional<ShardSidecar> sidecar_;  ///< these formats have none
};

}  // namespace hetmoe
