#include "runtime/tasks/item_fields.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/base/error.h"

namespace hetmoe {
namespace {

using nlohmann::json;

constexpr std::size_t kShownBytes = 40;

std::string shown(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, kShownBytes);
}

[[noreturn]] void fail(const std::string& name, const json& found, const std::string& allowed) {
  throw StorageError(name + " " + shown(found) + ", allowed: " + allowed);
}

const json& member(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) throw StorageError(std::string(name) + " is missing");
  return *found;
}

std::optional<std::int64_t> whole_number(const json& value) {
  if (value.is_number_integer()) {
    // What is beyond the signed numbers becomes negative, which no label is.
    return value.get<std::int64_t>();
  }
  if (!value.is_string()) return {};
  const std::string& digits = value.get_ref<const std::string&>();
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return {};
  return number;
}

}  // namespace

struct ItemFields::Object {
  json fields;
};

ItemFields::ItemFields(std::string_view line) {
  json parsed = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) throw StorageError("not JSON");
  if (!parsed.is_object()) fail("found", parsed, "a JSON object");
  object_ = std::make_unique<const Object>(Object{std::move(parsed)});
}

ItemFields::~ItemFields() = default;

bool ItemFields::has(const char* name) const { return object_->fields.contains(name); }

std::string ItemFields::text(const char* name) const {
  const json& value = member(object_->fields, name);
  if (!value.is_string()) fail(name, value, "a text");
  return value.get<std::string>();
}

std::vector<std::string> ItemFields::texts(const char* name, const char* inner) const {
  const json* list = &member(object_->fields, name);
  std::string full_name = name;
  if (inner != nullptr) {
    if (!list->is_object()) fail(name, *list, std::string("an object that holds ") + inner);
    full_name.append(".").append(inner);
    const auto found = list->find(inner);
    if (found == list->end()) throw StorageError(full_name + " is missing");
    list = &*found;
  }
  const auto is_text = [](const json& value) { return value.is_string(); };
  if (!list->is_array() || !std::all_of(list->begin(), list->end(), is_text)) {
    fail(full_name, *list, "a list of texts");
  }
  return list->get<std::vector<std::string>>();
}

std::int64_t ItemFields::index(const char* name, std::int64_t first, std::int64_t count) const {
  const json& value = member(object_->fields, name);
  const std::optional<std::int64_t> number = whole_number(value);
  if (!number || *number < first || *number >= first + count) {
    fail(name, value, std::to_string(first) + " to " + std::to_string(first + count - 1));
  }
  return *number - first;
}

bool ItemFields::truth(const char* name) const {
  const json& value = member(object_->fields, name);
  if (!value.is_boolean()) fail(name, value, "true or false");
  return value.get<bool>();
}

void ItemFields::refuse(const char* name, const std::string& allowed) const {
  fail(name, member(object_->fields, name), allowed);
}

}  // namespace hetmoe
