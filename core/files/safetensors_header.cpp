#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "core/files/safetensors_layout.h"

namespace hetmoe {
namespace {

constexpr const char* kMetadataName = "__metadata__";

/// Where in the header the parser stands. There is no deeper place: what opens one is refused, so
/// that nothing is nested without bound.
enum class Place { kOutside, kHeader, kMetadata, kTensor, kShape, kOffsets };

/// Takes the header as it is parsed; a tree of it would hide repeated names.
class HeaderParser : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderParser(const std::string& file) : file_(file) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { refuse("null"); }
  bool boolean(bool value) override { refuse(value ? "true" : "false"); }
  bool number_float(double, const std::string& text) override { refuse("the number " + text); }
  bool binary(binary_t&) override { refuse("binary"); }

  bool number_integer(std::int64_t value) override {  // called for what starts with a minus
    refuse("the negative number " + std::to_string(value));
  }

  bool number_unsigned(std::uint64_t value) override {
    if ((place_ != Place::kShape && place_ != Place::kOffsets) ||
        value > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
      refuse("the number " + std::to_string(value));
    }
    auto& numbers = place_ == Place::kShape ? tensor_.shape : offsets_;
    numbers.push_back(static_cast<std::int64_t>(value));
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::kMetadata) {
      header_.metadata.emplace(entry_, std::move(value));
    } else if (place_ == Place::kTensor && entry_ == "dtype") {
      const std::optional<TensorType> type = find_tensor_type(value);
      if (!type) refuse(in_quotes(value));
      tensor_.type = *type;
    } else {
      refuse("the text " + in_quotes(value));
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::kOutside) {
      place_ = Place::kHeader;
    } else if (place_ == Place::kHeader) {
      place_ = name_ == kMetadataName ? Place::kMetadata : Place::kTensor;
      tensor_ = {.name = name_};
      offsets_.clear();
      entries_.clear();
    } else {
      refuse("an object");
    }
    return true;
  }

  bool key(std::string& value) override {
    std::set<std::string>& earlier = place_ == Place::kHeader ? names_ : entries_;
    if (!earlier.insert(value).second)
      fail(subject() + " has the name " + in_quotes(value) + " twice");
    if (place_ == Place::kHeader) {
      name_ = std::move(value);
      return true;
    }
    if (place_ == Place::kTensor && value != "dtype" && value != "shape" &&
        value != "data_offsets") {
      fail(subject() + " has the member " + in_quotes(value) +
           ", allowed are dtype, shape and data_offsets");
    }
    entry_ = std::move(value);
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kHeader) {
      place_ = Place::kOutside;
      return true;
    }
    if (place_ == Place::kTensor) finish_tensor();
    place_ = Place::kHeader;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::kTensor && entry_ == "shape") {
      place_ = Place::kShape;
    } else if (place_ == Place::kTensor && entry_ == "data_offsets") {
      place_ = Place::kOffsets;
    } else {
      refuse("an array");
    }
    return true;
  }

  bool end_array() override {
    if (place_ == Place::kOffsets && offsets_.size() != 2) {
      refuse(std::to_string(offsets_.size()) + " numbers");
    }
    place_ = Place::kTensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    fail("header is not UTF-8 JSON: fault at its byte " + std::to_string(position));
  }

 private:
  void finish_tensor() {
    for (const char* member : {"dtype", "shape", "data_offsets"}) {
      if (!entries_.contains(member)) fail(subject() + " has no " + member);
    }
    tensor_.begin = offsets_[0];
    tensor_.end = offsets_[1];
    header_.tensors.push_back(std::move(tensor_));
  }

  std::string subject() const {
    if (place_ == Place::kHeader || place_ == Place::kOutside) return "header";
    return name_ == kMetadataName ? name_ : "tensor " + in_quotes(name_);
  }

  std::string expected() const {
    if (place_ == Place::kHeader) {
      return name_ == kMetadataName ? "an object of texts"
                                    : "an object of dtype, shape and data_offsets";
    }
    if (place_ == Place::kMetadata) return "a text";
    if (entry_ == "dtype") return "one of " + tensor_type_names();
    const std::string integers = "integers in [0, 9223372036854775807]";
    return entry_ == "shape" ? "an array of " + integers : "an array of two " + integers;
  }

  /// `found` stands where it must not.
  [[noreturn]] void refuse(const std::string& found) const {
    const std::string& entry = place_ == Place::kHeader ? name_ : entry_;
    fail(subject() + ": " + in_quotes(entry) + " is or holds " + found + ", expected " +
         expected());
  }

  [[noreturn]] void fail(const std::string& fault) const {
    throw StorageError(file_ + ": " + fault);
  }

  const std::string& file_;
  Place place_ = Place::kOutside;
  SafetensorsHeader header_;
  std::set<std::string> names_;  ///< of tensors so far
  std::string name_;             ///< of the tensor that is being read, or __metadata__
  TensorInfo tensor_;
  std::vector<std::int64_t> offsets_;
  std::set<std::string> entries_;  ///< of this tensor or of the metadata, so far
  std::string entry_;
};

/// nlohmann's parser takes a zero byte for the end of the text and skips a byte order mark. Neither
/// is JSON, and behind the first anything could hide.
void require_plain_object(std::string_view text, const std::string& file) {
  const std::size_t first = text.find_first_not_of(" \t\n\r");
  if (first == std::string_view::npos || text[first] != '{') {
    throw StorageError(file + ": header is not a JSON object: it does not start with '{'");
  }
  const std::size_t zero = text.find('\0');
  if (zero != std::string_view::npos) {
    throw StorageError(file + ": header is not UTF-8 JSON: zero at its byte " +
                       std::to_string(zero + 1));
  }
}

void check_tensor(const TensorInfo& tensor, std::int64_t expected_begin, const std::string& file) {
  const std::string subject = file + ": tensor " + in_quotes(tensor.name);
  const std::string range =
      " stands at [" + std::to_string(tensor.begin) + ", " + std::to_string(tensor.end) + ")";
  if (tensor.begin != expected_begin) {
    throw StorageError(subject + range + " of the data, expected to begin at " +
                       std::to_string(expected_begin) + ", without hole or overlap");
  }
  if (tensor.end < tensor.begin) {
    throw StorageError(subject + range + " of the data, which ends before it begins");
  }
  const std::int64_t bytes = packed_bytes(tensor, file);
  if (tensor.bytes() != bytes) {
    throw StorageError(subject + range + " of the data, but its type and shape make " +
                       std::to_string(bytes) + " bytes");
  }
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, std::int64_t data_bytes,
                                           const std::string& file) {
  require_header_length(text.size(), file);
  require_plain_object(text, file);
  HeaderParser parser(file);
  nlohmann::json::sax_parse(text, &parser);
  SafetensorsHeader header = parser.take();

  // Stable: tensors without data keep their order.
  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [](const TensorInfo& left, const TensorInfo& right) {
                     return std::tie(left.begin, left.end) < std::tie(right.begin, right.end);
                   });
  std::int64_t end = 0;
  for (const TensorInfo& tensor : header.tensors) {
    check_tensor(tensor, end, file);
    end = tensor.end;
  }
  if (end != data_bytes) {
    throw StorageError(file + ": its tensors take " + std::to_string(end) +
                       " bytes, but the file holds " + std::to_string(data_bytes) +
                       " bytes of data");
  }
  return header;
}

}  // namespace hetmoe
