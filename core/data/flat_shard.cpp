#include "core/data/flat_shard.h"

#include <limits>
#include <utility>

#include "core/base/check.h"

namespace hetmoe {

FlatShard FlatShard::open(const std::string& path) { return FlatShard(MappedFile(path)); }

FlatShard::FlatShard(MappedFile file)
    : file_(std::move(file)),
      format_(recognize_flat_format(file_)),
      num_tokens_((file_.size_bytes() - format_.header_bytes) / bytes_of(format_.type)) {}

void FlatShard::read_checked(std::int64_t begin, std::span<std::int32_t> out,
                             std::int64_t vocab_size) const {
  const auto count = static_cast<std::int64_t>(out.size());
  HETMOE_CHECK(begin >= 0 && begin <= num_tokens_ && count <= num_tokens_ - begin, "tokens [",
               begin, ", ", begin, " + ", count, ") of ", num_tokens_);
  copy_tokens(file_, format_.header_bytes + begin * bytes_of(format_.type), format_.type, 0,
              vocab_size - 1, out);
}

bool FlatShard::ends_text_before(std::int64_t token) const {
  if (token == 0) return true;
  std::int32_t previous = 0;
  read_checked(token - 1, {&previous, 1}, std::numeric_limits<std::int32_t>::max());
  return previous == format_.end_of_text;
}

void FlatShard::find_documents(std::int64_t begin, std::span<const std::int32_t> tokens,
                               std::vector<std::int64_t>& starts) const {
  const bool before = format_.stands_before_documents;
  bool starts_here = !before && !tokens.empty() && ends_text_before(begin);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool is_end_of_text = tokens[i] == format_.end_of_text;
    if (before ? is_end_of_text : starts_here) starts.push_back(static_cast<std::int64_t>(i));
    starts_here = is_end_of_text;
  }
}

}  // namespace hetmoe
