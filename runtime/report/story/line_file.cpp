#include "runtime/report/story/line_file.h"

#include <array>
#include <fstream>
#include <system_error>

namespace hetmoe {
namespace {

/// Puts lines together from blocks; what is too long is dropped, but still one line.
class LineSplitter {
 public:
  LineSplitter(LineFaults& faults,
               const std::function<bool(const JsonLine&, std::streamoff)>& visit)
      : faults_(faults), visit_(visit) {}

  void add(std::string_view block) {
    while (!block.empty()) {
      const std::size_t end = block.find('\n');
      const std::string_view part = block.substr(0, end);
      length_ += static_cast<std::streamoff>(part.size());
      if (line_.size() + part.size() <= kLongestLineBytes) {
        line_ += part;
      } else {
        too_long_ = true;
      }
      if (end == std::string_view::npos) return;
      finish_line();
      block.remove_prefix(end + 1);
    }
  }

  bool is_within_a_line() const { return length_ > 0; }

 private:
  void finish_line() {
    ++faults_.lines;
    const auto object = too_long_ ? std::nullopt : JsonLine::parse(line_);
    if (!object || !visit_(*object, begin_)) {
      if (faults_.damaged++ == 0) faults_.first_damaged = faults_.lines;
    }
    begin_ += length_ + 1;
    length_ = 0;
    too_long_ = false;
    line_.clear();
  }

  LineFaults& faults_;
  const std::function<bool(const JsonLine&, std::streamoff)>& visit_;
  std::string line_;
  std::streamoff begin_ = 0;
  std::streamoff length_ = 0;
  bool too_long_ = false;
};

}  // namespace

std::vector<std::string> LineFaults::texts(const std::string& name) const {
  std::vector<std::string> texts;
  if (absent) texts.push_back(name + ": is not there");
  if (unreadable) texts.push_back(name + ": cannot be read to its end");
  if (damaged > 0)
    texts.push_back(name + ": " + std::to_string(damaged) + " of " + std::to_string(lines) +
                    " lines damaged, the first is line " + std::to_string(first_damaged));
  if (unfinished) texts.push_back(name + ": the last line is not complete");
  return texts;
}

LineFaults for_each_object(const std::filesystem::path& path,
                           const std::function<bool(const JsonLine&, std::streamoff)>& visit) {
  LineFaults faults;
  std::error_code failure;
  if (!std::filesystem::exists(path, failure)) {
    faults.absent = true;
    return faults;
  }
  // A pipe would never end.
  std::ifstream file;
  if (std::filesystem::is_regular_file(path, failure)) file.open(path, std::ios::binary);
  if (!file.is_open()) {
    faults.unreadable = true;
    return faults;
  }
  LineSplitter splitter(faults, visit);
  std::array<char, 65536> block{};
  while (file.read(block.data(), block.size()), file.gcount() > 0)
    splitter.add({block.data(), static_cast<std::size_t>(file.gcount())});
  faults.unreadable = file.bad();
  faults.unfinished = splitter.is_within_a_line();
  return faults;
}

}  // namespace hetmoe
