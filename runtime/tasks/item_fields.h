#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace hetmoe {

/// One line of a task file: a JSON object, asked for its fields.
/// Errors: StorageError that names the field, what it holds and what is allowed, without the place.
class ItemFields {
 public:
  explicit ItemFields(std::string_view line);
  ~ItemFields();
  ItemFields(const ItemFields&) = delete;
  ItemFields& operator=(const ItemFields&) = delete;

  bool has(const char* name) const;

  std::string text(const char* name) const;

  /// A list of texts; with `inner`: the list of that name in the object `name`.
  std::vector<std::string> texts(const char* name, const char* inner = nullptr) const;

  /// A whole number, or the text of one, from `first` on; gives its distance from `first`, below
  /// `count`.
  std::int64_t index(const char* name, std::int64_t first, std::int64_t count) const;

  bool truth(const char* name) const;

  /// Throws: what the field, which is there, holds is none of what is allowed.
  [[noreturn]] void refuse(const char* name, const std::string& allowed) const;

 private:
  struct Object;

  std::unique_ptr<const Object> object_;
};

}  // namespace hetmoe
