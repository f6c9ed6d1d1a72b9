#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/data/token_source.h"

namespace hetmoe {

/// Several sources one after another, read as one corpus: windows run over the seams. Owns a share
/// of each. Cost of a read: a search among the sources.
class ConcatenatedSource final : public TokenSource {
 public:
  /// At least one part, all of one format and token type.
  /// Errors: StorageError where formats differ, ConfigError where tokenizers do.
  ConcatenatedSource(std::string name, std::vector<std::shared_ptr<const TokenSource>> parts);

  const std::string& name() const override { return name_; }
  std::string format() const override { return parts_.front()->format(); }
  std::string vocabulary() const override { return parts_.front()->vocabulary(); }
  TokenType token_type() const override { return parts_.front()->token_type(); }
  std::int64_t num_files() const override { return static_cast<std::int64_t>(parts_.size()); }
  std::int64_t num_tokens() const override { return begins_.back(); }
  std::optional<std::int64_t> indexed_documents() const override;
  void read_checked(std::int64_t begin, std::span<std::int32_t> out,
                    std::int64_t vocab_size) const override;
  void find_documents(std::int64_t begin, std::span<const std::int32_t> tokens,
                      std::vector<std::int64_t>& starts) const override;
  /// The sums of all; nothing where one has none.
  const std::optional<ShardSidecar>& sidecar() const override { return sidecar_; }

 private:
  template <typename Action>
  void for_each_piece(std::int64_t begin, std::int64_t count, const Action& action) const;
  void add_up_sidecars();

  std::string name_;
  std::vector<std::shared_ptr<const TokenSource>> parts_;
  std::vector<std::int64_t> begins_;  ///< of each part, and the end
  std::optional<ShardSidecar> sidecar_;
};

}  // namespace hetmoe
