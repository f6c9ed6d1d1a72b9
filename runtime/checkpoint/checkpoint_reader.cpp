#include "runtime/checkpoint/checkpoint_reader.h"

#include <fcntl.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <system_error>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/files/digest.h"
#include "core/files/file_descriptor.h"
#include "core/files/read_failure.h"
#include "runtime/checkpoint/checkpoint_folder.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "safetensors is little-endian");

constexpr std::size_t kMostOpenFiles = 256;
constexpr std::int64_t kLongestMarker = 4096;
constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
constexpr std::int64_t kElementBytes = sizeof(float);

[[noreturn]] void fail(const fs::path& path, const std::string& reason) {
  throw StorageError("cannot read '" + path.string() + "': " + reason);
}

FileDescriptor open_regular(const fs::path& path) {
  std::error_code failure;
  // A named pipe would keep us waiting.
  if (!fs::is_regular_file(path, failure)) {
    if (failure) fail_to_read("read", path, failure.value());
    fail(path, "it is no regular file");
  }
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) fail_to_read("read", path, errno);
  return file;
}

/// The whole file, at most `most` bytes.
std::string read_text(const fs::path& path, std::int64_t most) {
  const FileDescriptor file = open_regular(path);
  std::error_code failure;
  const std::uintmax_t size = fs::file_size(path, failure);
  if (failure) fail_to_read("read", path, failure.value());
  std::string text(std::min(size, static_cast<std::uintmax_t>(most) + 1), '\0');
  const std::int64_t bytes = read_fully(file.get(), 0, std::as_writable_bytes(std::span(text)));
  if (bytes < 0) fail_to_read("read", path, errno);
  if (bytes > most) fail(path, detail::concatenate("it is longer than ", most, " bytes"));
  text.resize(static_cast<std::size_t>(bytes));
  return text;
}

std::string digest_of_file(const fs::path& path) {
  const FileDescriptor file = open_regular(path);
  std::vector<std::byte> chunk(kChunkBytes);
  Digest digest;
  std::int64_t offset = 0;
  while (true) {
    const std::int64_t bytes = read_fully(file.get(), offset, chunk);
    if (bytes < 0) fail_to_read("read", path, errno);
    digest.update(std::span(chunk).first(static_cast<std::size_t>(bytes)));
    if (std::cmp_less(bytes, chunk.size())) return digest.text();
    offset += bytes;
  }
}

/// "step-00000100" of "runs/a/checkpoints/step-00000100/" and of "." there.
std::string folder_name(const fs::path& path) {
  const fs::path whole = fs::absolute(path).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

/// The manifest that COMMITTED vouches for.
Manifest read_committed_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestName;
  const std::string marker = read_text(folder / kCommittedName, kLongestMarker);
  const std::string text = read_text(path, kLongestManifest);
  const std::string digest = digest_of(std::as_bytes(std::span(text)));
  if (!marker.ends_with("\nmanifest " + digest + "\n")) {
    throw StorageError(path.string() + ": its digest is " + digest + ", which " + kCommittedName +
                       " does not name: one of the two is damaged");
  }
  Manifest manifest = read_manifest(text, path.string());
  const auto step = step_of_folder(folder_name(folder));
  if (marker != committed_text(manifest.step, text) || (step && *step != manifest.step)) {
    throw StorageError(detail::concatenate(path.string(), ": is of step ", manifest.step,
                                           ", which ", kCommittedName,
                                           " or the folder's name does not say"));
  }
  return manifest;
}

}  // namespace

CheckpointReader::CheckpointReader(fs::path path)
    : path_(std::move(path)),
      lock_(MarkerLock::shared(path_ / kCommittedName)),
      manifest_(read_committed_manifest(path_)) {
  require_files(path_, manifest_);
  for (const auto& [name, tensor] : manifest_.tensors) {
    for (const TensorPart& part : tensor.parts) {
      std::vector<std::int64_t> shape = tensor.shape;
      shape.front() = part.row_end - part.row_begin;
      parts_[part.file].push_back({part.key, std::move(shape)});
    }
  }
}

const CheckpointTensor* CheckpointReader::find(const std::string& tensor) const {
  const auto found = manifest_.tensors.find(tensor);
  return found == manifest_.tensors.end() ? nullptr : &found->second;
}

void CheckpointReader::read_rows(const std::string& tensor, std::int64_t begin, std::int64_t end,
                                 std::span<float> out) {
  const CheckpointTensor* found = find(tensor);
  if (found == nullptr) {
    throw StorageError("checkpoint '" + path_.string() + "' holds no tensor '" + tensor + "'");
  }
  const std::int64_t columns = found->columns();
  HETMOE_CHECK(0 <= begin && begin <= end && end <= found->rows(), "rows ", begin, " to ", end,
               " of ", tensor, ", which has ", found->rows());
  HETMOE_CHECK(std::cmp_equal(out.size(), (end - begin) * columns), out.size(), " values for ",
               end - begin, " rows of ", columns);
  auto part = std::partition_point(found->parts.begin(), found->parts.end(),
                                   [&](const TensorPart& p) { return p.row_end <= begin; });
  for (; begin < end; ++part) {
    const SafetensorsReader& file = open_file(part->file);
    const std::int64_t stop = std::min(end, part->row_end);
    const auto values = static_cast<std::size_t>((stop - begin) * columns);
    file.read(*file.find(part->key), (begin - part->row_begin) * columns * kElementBytes,
              std::as_writable_bytes(out.first(values)));
    out = out.subspan(values);
    begin = stop;
  }
}

void CheckpointReader::verify_file(std::size_t index) const {
  HETMOE_CHECK(index < manifest_.files.size(), "file ", index, " of ", manifest_.files.size());
  const CheckpointFile& file = manifest_.files[index];
  const fs::path path = path_ / file.name;
  const std::string digest = digest_of_file(path);
  if (digest != file.digest) {
    throw StorageError(path.string() + ": is damaged: its digest is " + digest + ", " +
                       kManifestName + " says " + file.digest);
  }
  check_header(file.name, SafetensorsReader(path));
}

void CheckpointReader::verify() const {
  for (std::size_t index = 0; index < manifest_.files.size(); ++index) verify_file(index);
}

const SafetensorsReader& CheckpointReader::open_file(const std::string& name) {
  const auto open = files_.find(name);
  if (open != files_.end()) return open->second;
  // A checkpoint of many ranks has more files than a process may have open.
  if (files_.size() == kMostOpenFiles) files_.clear();
  SafetensorsReader file(path_ / name);
  check_header(name, file);
  return files_.emplace(name, std::move(file)).first->second;
}

void CheckpointReader::check_header(const std::string& name, const SafetensorsReader& file) const {
  const auto found = parts_.find(name);
  const std::size_t count = found == parts_.end() ? 0 : found->second.size();
  if (file.header().tensors.size() != count) {
    throw StorageError(detail::concatenate(file.path().string(), ": holds ",
                                           file.header().tensors.size(), " tensors, ",
                                           kManifestName, " says ", count));
  }
  if (count == 0) return;
  for (const ExpectedPart& part : found->second) {
    const TensorInfo* tensor = file.find(part.key);
    if (tensor == nullptr || tensor->type != TensorType::kF32 || tensor->shape != part.shape) {
      throw StorageError(file.path().string() + ": tensor '" + part.key +
                         "' is missing or not of the type and shape that " + kManifestName +
                         " says");
    }
  }
}

std::vector<fs::path> step_folders(const fs::path& path) {
  std::error_code failure;
  if (!fs::is_directory(path, failure)) {
    fail(path, failure ? failure.message() : "it is no folder");
  }
  if (step_of_folder(folder_name(path)) || is_committed(path) ||
      fs::exists(path / kManifestName, failure)) {
    return {path};
  }
  const fs::path inner = path / "checkpoints";
  std::vector<fs::path> folders;
  for (SavedStep& saved :
       CheckpointFolder(fs::is_directory(inner, failure) ? inner : path).steps()) {
    folders.push_back(std::move(saved.path));
  }
  return folders;
}

fs::path resolve_checkpoint(const fs::path& path) {
  std::vector<fs::path> folders = step_folders(path);
  std::erase_if(folders, [](const fs::path& folder) { return !is_committed(folder); });
  if (!folders.empty()) return folders.back();
  throw StorageError("'" + path.string() + "' holds no committed checkpoint, allowed: a run " +
                     "directory, its folder checkpoints, or the folder of one step");
}

}  // namespace hetmoe
