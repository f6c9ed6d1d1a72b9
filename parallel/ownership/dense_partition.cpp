#include "parallel/ownership/dense_partition.h"

#include <algorithm>
#include <numeric>

#include "core/base/check.h"

namespace hetmoe {
namespace {

/// How much each rank takes so that all levels meet: max(0, level - own), summing to `total`.
std::vector<double> water_fill(std::span<const std::int64_t> own, std::int64_t total) {
  std::vector<std::int64_t> sorted(own.begin(), own.end());
  std::sort(sorted.begin(), sorted.end());
  double filled = static_cast<double>(total);
  double level = 0;
  for (std::size_t count = 1; count <= sorted.size(); ++count) {
    filled += static_cast<double>(sorted[count - 1]);
    level = filled / static_cast<double>(count);
    if (count < sorted.size() && level <= static_cast<double>(sorted[count])) break;
  }
  std::vector<double> share;
  for (std::int64_t value : own) {
    share.push_back(std::max(0.0, level - static_cast<double>(value)));
  }
  return share;
}

std::int64_t elements_of(std::span<const TensorSpec> specs) {
  std::int64_t elements = 0;
  for (const TensorSpec& spec : specs) elements += spec.elements();
  return elements;
}

/// The row boundary nearest to an element of tensors that follow one another from 0.
std::int64_t nearest_row(std::span<const TensorSpec> specs, double element) {
  const auto offset = static_cast<std::int64_t>(std::max(0.0, element));
  std::int64_t begin = 0;
  for (const TensorSpec& spec : specs) {
    const std::int64_t end = begin + spec.elements();
    if (offset < end) {
      const std::int64_t row = (offset - begin + spec.columns / 2) / spec.columns;
      return begin + std::min(row, spec.rows) * spec.columns;
    }
    begin = end;
  }
  return begin;
}

/// Cuts bucket after bucket; the first ranks together are never further than a row from their due.
class BucketCutter {
 public:
  BucketCutter(std::vector<double> share, std::int64_t total)
      : share_(std::move(share)), total_(total), given_(share_.size(), 0) {}

  DenseBucket cut(std::span<const TensorSpec> tensors) {
    DenseBucket bucket{.block = tensors.front().block, .begin = end_, .counts = {}};
    const std::int64_t elements = elements_of(tensors);
    end_ += elements;
    double due = 0;  // of the ranks so far, in this bucket
    std::int64_t cut = 0;
    for (std::size_t rank = 0; rank < share_.size(); ++rank) {
      const double part = static_cast<double>(end_) / static_cast<double>(total_);
      due += share_[rank] * part - static_cast<double>(given_[rank]);
      const bool is_last = rank + 1 == share_.size();
      const std::int64_t next = is_last ? elements : std::max(cut, nearest_row(tensors, due));
      bucket.counts.push_back(next - cut);
      given_[rank] += next - cut;
      cut = next;
    }
    return bucket;
  }

 private:
  std::vector<double> share_;  ///< of all dense elements
  std::int64_t total_;
  std::vector<std::int64_t> given_;
  std::int64_t end_ = 0;
};

std::vector<int> blocks_of(std::span<const DenseBucket> buckets) {
  std::vector<int> blocks;
  for (const DenseBucket& bucket : buckets) blocks.push_back(bucket.block);
  return blocks;
}

}  // namespace

std::int64_t DenseBucket::elements() const { return std::reduce(counts.begin(), counts.end()); }

std::int64_t DenseBucket::begin_of(int rank) const {
  return std::accumulate(counts.begin(), counts.begin() + rank, begin);
}

std::vector<DenseBucket> partition_dense(std::span<const TensorSpec> specs,
                                         std::span<const std::int64_t> slice_elements) {
  HETMOE_CHECK(!slice_elements.empty(), "no ranks");
  const std::int64_t total = elements_of(specs);
  BucketCutter cutter(water_fill(slice_elements, total), total);
  std::vector<DenseBucket> buckets;
  while (!specs.empty()) {
    const int block = specs.front().block;
    const auto end = std::find_if(specs.begin(), specs.end(),
                                  [&](const TensorSpec& spec) { return spec.block != block; });
    const auto count = static_cast<std::size_t>(end - specs.begin());
    HETMOE_CHECK(buckets.empty() || buckets.back().block < block, "block ", block, " after block ",
                 buckets.back().block);
    buckets.push_back(cutter.cut(specs.first(count)));
    specs = specs.subspan(count);
  }
  return buckets;
}

std::vector<std::int64_t> owned_dense_elements(std::span<const DenseBucket> buckets) {
  std::vector<std::int64_t> elements;
  for (const DenseBucket& bucket : buckets) {
    elements.resize(bucket.counts.size(), 0);
    for (std::size_t rank = 0; rank < elements.size(); ++rank) {
      elements[rank] += bucket.counts[rank];
    }
  }
  return elements;
}

std::vector<RowTransfer> dense_transfers(std::span<const DenseBucket> before,
                                         std::span<const DenseBucket> after) {
  HETMOE_CHECK(before.size() == after.size(), before.size(), " and ", after.size(), " buckets");
  std::vector<RowTransfer> transfers;
  for (std::size_t index = 0; index < before.size(); ++index) {
    std::int64_t element = before[index].begin;
    int from = 0;
    std::int64_t from_end = element + before[index].counts[0];
    std::int64_t to_end = element;
    for (int to = 0; to < static_cast<int>(after[index].counts.size()); ++to) {
      to_end += after[index].counts[to];
      while (element < to_end) {
        while (from_end <= element) from_end += before[index].counts[++from];
        const std::int64_t end = std::min(from_end, to_end);
        transfers.push_back({static_cast<int>(index), element, end, from, to});
        element = end;
      }
    }
  }
  return transfers;
}

std::vector<int> blocks_by_need(std::span<const DenseBucket> buckets, int num_layers) {
  std::vector<int> blocks = blocks_of(buckets);
  // Layer 0 may begin without the hypernetwork; the head comes last.
  std::stable_sort(blocks.begin(), blocks.end(), [&](int a, int b) {
    const auto place = [&](int block) { return block > num_layers ? 0.5 : block; };
    return place(a) < place(b);
  });
  return blocks;
}

std::vector<int> blocks_by_completion(std::span<const DenseBucket> buckets, int num_layers) {
  std::vector<int> blocks = blocks_of(buckets);
  // The hypernetwork works for every layer, so it is complete after layer 0.
  std::stable_sort(blocks.begin(), blocks.end(), [&](int a, int b) {
    const auto place = [&](int block) { return block > num_layers ? -0.5 : block; };
    return place(a) > place(b);
  });
  return blocks;
}

}  // namespace hetmoe
