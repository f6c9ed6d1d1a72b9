#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/data/json_lines_reader.h"

namespace hetmoe {
namespace {

constexpr std::size_t kLongestReasonBytes = 160;

/// Hears the events of one line; keeps the text under the field and drops the rest. No tree is
/// built, so that nothing nests, and a name that comes twice is seen.
class FieldListener final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit FieldListener(const std::string& field) : field_(field) {}

  bool null() override { return value("null"); }
  bool boolean(bool) override { return value("a boolean"); }
  bool number_integer(number_integer_t) override { return value("a number"); }
  bool number_unsigned(number_unsigned_t) override { return value("a number"); }
  bool number_float(number_float_t, const string_t&) override { return value("a number"); }
  bool binary(binary_t&) override { return value("binary"); }

  bool string(string_t& text) override {
    if (depth_ == 0 || !at_field_) return value("a string");
    if (found_) return fail("has the field '" + field_ + "' twice");
    found_ = true;
    at_field_ = false;
    text_ = std::move(text);
    return true;
  }

  bool start_object(std::size_t) override {
    if (depth_ > 0 && !value("an object")) return false;
    ++depth_;
    return true;
  }
  bool end_object() override { return end(); }
  bool start_array(std::size_t) override {
    if (!value("an array")) return false;
    ++depth_;
    return true;
  }
  bool end_array() override { return end(); }

  bool key(string_t& name) override {
    at_field_ = depth_ == 1 && name == field_;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception& error) override {
    return fail("is not JSON at byte " + std::to_string(position) + ": " + reason_in(error.what()));
  }

  JsonLine take() {
    if (fault_.empty() && !found_) fault_ = "has no field '" + field_ + "'";
    return {.text = std::move(text_), .fault = std::move(fault_)};
  }

 private:
  bool value(const char* kind) {
    if (depth_ == 0) return fail(std::string("is ") + kind + ", must be an object");
    if (at_field_) return fail("field '" + field_ + "' is " + kind + ", must be a string");
    return true;
  }

  bool end() {
    --depth_;
    return true;
  }

  bool fail(std::string fault) {
    fault_ = std::move(fault);
    return false;
  }

  /// "[json.exception.N] parse error at line 1, column 9: syntax error while ... - REASON; last
  /// read: ...": the reason alone. What was last read may be as long as the line.
  static std::string reason_in(std::string text) {
    text.resize(std::min(text.size(), text.find("; last read:")));
    for (const char* lead : {"] ", ": ", " - "}) {
      const std::size_t begin = text.find(lead);
      if (begin != std::string::npos) text.erase(0, begin + std::char_traits<char>::length(lead));
    }
    if (text.size() > kLongestReasonBytes) text.resize(kLongestReasonBytes);
    return text;
  }

  const std::string& field_;
  std::string text_;
  std::string fault_;
  std::int64_t depth_ = 0;
  bool at_field_ = false;
  bool found_ = false;
};

}  // namespace

JsonLine parse_json_line(const std::string& line, const std::string& field) {
  // The parser would take a NUL for the end of the line.
  if (const std::size_t at = line.find('\0'); at != std::string::npos) {
    return {.text = "", .fault = "is not JSON at byte " + std::to_string(at + 1) + ": a NUL byte"};
  }
  FieldListener listener(field);
  nlohmann::json::sax_parse(line, &listener);
  return listener.take();
}

bool is_json_object(const std::string& line) {
  const std::string fault = parse_json_line(line, "").fault;
  return !fault.starts_with("is ");  // neither "is not JSON" nor "is a number"
}

}  // namespace hetmoe
