#include "core/data/concatenated_source.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {
namespace {

std::string form_of(const TokenSource& source) {
  return source.format() + " " + name_of(source.token_type());
}

}  // namespace

ConcatenatedSource::ConcatenatedSource(std::string name,
                                       std::vector<std::shared_ptr<const TokenSource>> parts)
    : name_(std::move(name)), parts_(std::move(parts)), begins_(1, 0) {
  HETMOE_CHECK(!parts_.empty(), "no parts");
  std::vector<const TokenSource*> sources;
  for (const auto& part : parts_) {
    sources.push_back(part.get());
    if (form_of(*part) != form_of(*parts_.front())) {
      throw StorageError(name_ + ": " + part->name() + " is " + form_of(*part) + ", allowed: " +
                         form_of(*parts_.front()) + " as " + parts_.front()->name());
    }
    begins_.push_back(begins_.back() + part->num_tokens());
  }
  require_one_tokenizer(sources);
  add_up_sidecars();
}

void ConcatenatedSource::add_up_sidecars() {
  const bool all =
      std::ranges::all_of(parts_, [](const auto& part) { return part->sidecar().has_value(); });
  if (!all) return;
  sidecar_ = parts_.front()->sidecar();
  for (std::size_t i = 1; i < parts_.size(); ++i) {
    const ShardSidecar& part = *parts_[i]->sidecar();
    sidecar_->raw_bytes += part.raw_bytes;
    sidecar_->documents += part.documents;
    sidecar_->tokens += part.tokens;
  }
}

std::optional<std::int64_t> ConcatenatedSource::indexed_documents() const {
  std::int64_t sum = 0;
  for (const auto& part : parts_) {
    const std::optional<std::int64_t> documents = part->indexed_documents();
    if (!documents) return std::nullopt;
    sum += *documents;
  }
  return sum;
}

/// Calls action(part, first token within it, offset from `begin`, count) for each part that has
/// tokens of the range.
template <typename Action>
void ConcatenatedSource::for_each_piece(std::int64_t begin, std::int64_t count,
                                        const Action& action) const {
  HETMOE_CHECK(begin >= 0 && begin <= num_tokens() && count >= 0 && count <= num_tokens() - begin,
               "tokens [", begin, ", ", begin, " + ", count, ") of ", num_tokens());
  std::int64_t done = 0;
  auto end = std::upper_bound(begins_.begin(), begins_.end(), begin);  // of the part with `begin`
  for (; done < count; ++end) {
    const auto part = static_cast<std::size_t>(end - begins_.begin()) - 1;
    const std::int64_t within = begin + done - begins_[part];
    const std::int64_t piece = std::min(count - done, *end - (begin + done));
    if (piece > 0) action(*parts_[part], within, done, piece);
    done += piece;
  }
}

void ConcatenatedSource::read_checked(std::int64_t begin, std::span<std::int32_t> out,
                                      std::int64_t vocab_size) const {
  for_each_piece(
      begin, static_cast<std::int64_t>(out.size()),
      [&](const TokenSource& part, std::int64_t within, std::int64_t offset, std::int64_t count) {
        part.read_checked(
            within, out.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(count)),
            vocab_size);
      });
}

void ConcatenatedSource::find_documents(std::int64_t begin, std::span<const std::int32_t> tokens,
                                        std::vector<std::int64_t>& starts) const {
  for_each_piece(
      begin, static_cast<std::int64_t>(tokens.size()),
      [&](const TokenSource& part, std::int64_t within, std::int64_t offset, std::int64_t count) {
        const std::size_t before = starts.size();
        part.find_documents(
            within,
            tokens.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(count)),
            starts);
        for (std::size_t i = before; i < starts.size(); ++i) starts[i] += offset;
      });
}

}  // namespace hetmoe
