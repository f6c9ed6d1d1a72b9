#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/check.h"
#include "core/files/digest.h"
#include "core/files/safetensors_layout.h"

namespace hetmoe {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 18;
constexpr std::size_t kAlignmentBytes = 8;

/// Sets begin and end of all tensors. Gives the bytes of the data.
std::int64_t lay_out(std::vector<TensorInfo>& tensors, const std::string& file) {
  std::int64_t end = 0;
  for (TensorInfo& tensor : tensors) {
    tensor.begin = end;
    if (__builtin_add_overflow(end, packed_bytes(tensor, file), &end)) {
      throw StorageError(file + ": tensors of more bytes than can be counted");
    }
    tensor.end = end;
  }
  return end;
}

/// Written by hand and not from a JSON tree, which would drop a repeated name in silence.
std::string header_text(const std::vector<TensorInfo>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  using nlohmann::json;
  std::string text = "{";
  if (!metadata.empty()) text += "\"__metadata__\":" + json(metadata).dump();
  for (const TensorInfo& tensor : tensors) {
    if (text.size() > 1) text += ',';
    text += json(tensor.name).dump() + ":{\"dtype\":\"" + std::string(type_name(tensor.type)) +
            "\",\"shape\":" + json(tensor.shape).dump() +
            ",\"data_offsets\":" + json({tensor.begin, tensor.end}).dump() + '}';
  }
  text += '}';
  text.resize((text.size() + kAlignmentBytes - 1) / kAlignmentBytes * kAlignmentBytes, ' ');
  return text;
}

std::string checked_header_text(const std::vector<TensorInfo>& tensors, std::int64_t data_bytes,
                                const std::map<std::string, std::string>& metadata,
                                const std::string& file) {
  std::string text;
  try {
    text = header_text(tensors, metadata);
  } catch (const nlohmann::json::type_error&) {
    throw StorageError("cannot write '" + file +
                       "': the name of a tensor or its metadata is not UTF-8");
  }
  // What our own reader refuses is not written: repeated names above all.
  parse_safetensors_header(text, data_bytes, file);
  return text;
}

std::array<std::byte, 8> little_endian(std::uint64_t value) {
  std::array<std::byte, 8> bytes{};
  for (std::byte& byte : bytes) {
    byte = static_cast<std::byte>(value & 0xff);
    value >>= 8;
  }
  return bytes;
}

}  // namespace

class SafetensorsWriter::State {
 public:
  explicit State(std::filesystem::path path)
      : path_(std::move(path)),
        // Exclusive: what is removed on failure is ours, and nobody's open file is cut.
        file_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
    if (!file_.is_open()) fail(errno);
    buffer_.reserve(kBufferBytes);
  }

  ~State() {
    if (!finished_) ::unlink(path_.c_str());
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void expect_data(std::int64_t bytes) { total_bytes_ = written_.bytes + bytes; }

  void append(std::span<const std::byte> bytes) {
    digest_.update(bytes);
    written_.bytes += static_cast<std::int64_t>(bytes.size());
    if (buffer_.size() + bytes.size() > kBufferBytes) flush();
    if (bytes.size() >= kBufferBytes) {
      put(bytes);
    } else {
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    }
  }

  void append_data(std::span<const std::byte> bytes) {
    HETMOE_CHECK(!finished_ && static_cast<std::int64_t>(bytes.size()) <= missing_bytes(),
                 bytes.size(), " bytes more for ", path_.string(), ", expected ", missing_bytes());
    append(bytes);
  }

  WrittenFile finish() {
    HETMOE_CHECK(!finished_ && missing_bytes() == 0, path_.string(), " lacks ", missing_bytes(),
                 " bytes");
    flush();
    if (::fsync(file_.get()) != 0) fail(errno);
    if (const int failure = file_.close(); failure != 0) fail(failure);
    if (const int failure = sync_folder_of(path_); failure != 0) fail(failure);
    finished_ = true;
    written_.digest = digest_.text();
    return written_;
  }

 private:
  std::int64_t missing_bytes() const { return total_bytes_ - written_.bytes; }

  void flush() {
    put(buffer_);
    buffer_.clear();
  }

  void put(std::span<const std::byte> bytes) {
    if (const int failure = write_fully(file_.get(), bytes); failure != 0) fail(failure);
  }

  [[noreturn]] void fail(int failure) const {
    throw StorageError("cannot write '" + path_.string() + "': " + std::strerror(failure));
  }

  std::filesystem::path path_;
  FileDescriptor file_;
  Digest digest_;
  std::vector<std::byte> buffer_;
  std::int64_t total_bytes_ = 0;
  WrittenFile written_;
  bool finished_ = false;
};

SafetensorsWriter::SafetensorsWriter(std::filesystem::path path, std::vector<TensorInfo> tensors,
                                     const std::map<std::string, std::string>& metadata) {
  const std::string file = path.string();
  const std::int64_t data_bytes = lay_out(tensors, file);
  const std::string text = checked_header_text(tensors, data_bytes, metadata, file);
  state_ = std::make_unique<State>(std::move(path));
  state_->append(little_endian(text.size()));
  state_->append(std::as_bytes(std::span(text)));
  state_->expect_data(data_bytes);
}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::write(std::span<const std::byte> bytes) { state_->append_data(bytes); }

WrittenFile SafetensorsWriter::finish() { return state_->finish(); }

}  // namespace hetmoe
