#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace hetmoe {

/// A file of lines that only grows. Each line goes out in one write(2), so a killed process leaves
/// at most one torn line, and that at the end; opening the file again removes it.
/// Owns: the file descriptor. Threads: one. Errors: StorageError that names the file.
class AppendFile {
 public:
  /// Makes the file when it does not exist; the folder must.
  explicit AppendFile(std::filesystem::path path);
  ~AppendFile();
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&&) = delete;

  /// Appends `line` and a newline; `line` holds none. In the kernel's hands on return (a killed
  /// process loses nothing), not synced to disk. A line that does not fit is taken back.
  void append_line(std::string_view line);

  const std::filesystem::path& path() const { return path_; }

 private:
  void drop_torn_line();
  [[noreturn]] void fail(const std::string& action) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace hetmoe
