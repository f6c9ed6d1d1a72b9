#include "core/data/corpus_inputs.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "core/base/error.h"
#include "core/data/json_lines_reader.h"
#include "core/data/line_reader.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kPeekBytes = 4096;
constexpr const char* kByteOrderMark = "\xEF\xBB\xBF";  // some programs begin UTF-8 with it

/// A path on to the files below it.
void add_files(const std::string& path, std::vector<std::string>& out) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (error) throw StorageError("cannot read '" + path + "': " + error.message());
  if (!fs::is_directory(status)) {
    if (!fs::is_regular_file(status)) {
      throw StorageError("'" + path + "' is neither a file nor a folder");
    }
    out.push_back(path);
    return;
  }
  std::vector<std::string> entries;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    if (!it->path().filename().string().starts_with('.')) entries.push_back(it->path().string());
  }
  if (error) throw StorageError("cannot read folder '" + path + "': " + error.message());
  std::sort(entries.begin(), entries.end());
  for (const std::string& entry : entries) add_files(entry, out);
}

/// The first line that is not blank, up to the limit, without a byte order mark.
std::string first_line(const std::string& path, std::int64_t max_line_bytes) {
  LineReader lines(open_byte_source(path), max_line_bytes);
  std::string line;
  while (lines.next(line)) {
    if (line.starts_with(kByteOrderMark)) line.erase(0, 3);
    const std::size_t begin = line.find_first_not_of(" \t\r\n");
    if (begin != std::string::npos) return line.substr(begin);
  }
  return "";
}

InputFormat format_of(const std::string& path, const InputOptions& options) {
  if (options.format == "text") return InputFormat::kText;
  if (options.format == "json-lines") return InputFormat::kJsonLines;
  if (!first_line(path, kPeekBytes).starts_with('{')) return InputFormat::kText;
  const std::string line = first_line(path, kLongestJsonLineBytes);
  if (!is_json_object(line)) return InputFormat::kText;
  const std::string fault = parse_json_line(line, options.json_field).fault;
  if (fault.empty() || options.skip_invalid) return InputFormat::kJsonLines;
  throw ConfigError("'" + path + "' looks like JSON lines, but its first one " + fault +
                    ": --json-field names another field, --input-format text takes it as it is");
}

InputFile describe_input(const std::string& path, const InputOptions& options) {
  InputFile file{.path = path};
  std::error_code error;
  file.size_bytes = static_cast<std::int64_t>(fs::file_size(path, error));
  if (error) throw StorageError("cannot read '" + path + "': " + error.message());
  const fs::file_time_type modified = fs::last_write_time(path, error);
  if (error) throw StorageError("cannot read '" + path + "': " + error.message());
  file.modified_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(modified.time_since_epoch()).count();
  file.compression = compression_of(path);
  file.format = format_of(path, options);
  return file;
}

}  // namespace

std::vector<InputFile> list_inputs(const std::vector<std::string>& paths,
                                   const InputOptions& options) {
  if (options.format != "auto" && options.format != "text" && options.format != "json-lines") {
    throw ConfigError("input format is '" + options.format + "', must be auto, text or json-lines");
  }
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    const std::size_t before = files.size();
    add_files(path, files);
    if (files.size() == before) throw StorageError("folder '" + path + "' holds no file");
  }
  std::vector<InputFile> inputs;
  inputs.reserve(files.size());
  for (const std::string& file : files) inputs.push_back(describe_input(file, options));
  return inputs;
}

}  // namespace hetmoe
