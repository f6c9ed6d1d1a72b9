#include "runtime/report/story/metrics_csv.h"

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <map>
#include <unordered_map>

#include "runtime/metrics/run_directory.h"
#include "runtime/report/story/line_file.h"
#include "runtime/report/story/read_story.h"

namespace hetmoe {
namespace {

struct Columns {
  std::vector<std::string> names;
  std::unordered_map<std::string, std::size_t> places;

  void add(const std::string& name) {
    if (places.try_emplace(name, names.size()).second) names.push_back(name);
  }
};

bool is_training_line(const JsonLine& line) {
  return line.integer("step", 0) >= 1 && line.has("loss");
}

/// Where each step's last line begins.
std::map<std::int64_t, std::streamoff> last_lines(const std::filesystem::path& metrics_file,
                                                  Columns& columns) {
  std::map<std::int64_t, std::streamoff> begins;
  for_each_object(metrics_file, [&](const JsonLine& line, std::streamoff begin) {
    if (!is_training_line(line)) return true;
    for (const auto& [name, value] : line.flat_numbers()) columns.add(name);
    begins[line.integer("step", 0)] = begin;
    return true;
  });
  return begins;
}

std::string row_of(const JsonLine& line, const std::string& run, const Columns& columns) {
  std::vector<std::string> fields(columns.names.size());
  for (auto& [name, value] : line.flat_numbers()) {
    const auto place = columns.places.find(name);
    if (place != columns.places.end()) fields[place->second] = value;
  }
  std::string row = run;
  for (const std::string& field : fields) row += "," + field;
  return row + "\n";
}

/// The file may have grown meanwhile, but lines that stood there stay.
void write_rows(const std::filesystem::path& metrics_file, const std::string& run,
                const std::map<std::int64_t, std::streamoff>& begins, const Columns& columns,
                const std::function<void(std::string_view)>& write) {
  std::ifstream file(metrics_file, std::ios::binary);
  for (const auto& [step, begin] : begins) {
    std::string text;
    file.seekg(begin);
    if (!std::getline(file, text)) return;
    if (const auto line = JsonLine::parse(text)) write(row_of(*line, run, columns));
  }
}

}  // namespace

void write_metrics_csv(const std::vector<std::filesystem::path>& runs,
                       const std::function<void(std::string_view)>& write) {
  Columns columns;
  std::vector<std::map<std::int64_t, std::streamoff>> begins;
  std::vector<std::filesystem::path> files;
  for (const auto& run : runs) {
    files.push_back(RunDirectory::open(run).metrics_file());
    begins.push_back(last_lines(files.back(), columns));
  }
  std::string header = "run";
  for (const std::string& name : columns.names) header += "," + name;
  write(header + "\n");
  for (std::size_t i = 0; i < runs.size(); ++i)
    write_rows(files[i], csv_field(run_directory_name(runs[i])), begins[i], columns, write);
}

std::string csv_field(const std::string& text) {
  const bool is_formula =
      !text.empty() && std::string("=+-@\t\r").find(text[0]) != std::string::npos;
  const std::string shown = is_formula ? "'" + text : text;
  if (shown.find_first_of(",\"\r\n") == std::string::npos) return shown;
  std::string quoted = "\"";
  for (const char letter : shown) quoted += letter == '"' ? "\"\"" : std::string(1, letter);
  return quoted + "\"";
}

}  // namespace hetmoe
