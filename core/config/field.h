#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "core/config/allowed.h"

namespace hetmoe {

/// An enumeration member behind a plain interface. Its words stand in the order of the enumerators,
/// which count from 0; `enum_words(E)`, found beside the enumeration, lists them.
struct EnumReference {
  void* target = nullptr;
  std::vector<std::string> words;
  int (*get)(const void* target) = nullptr;
  void (*set)(void* target, int index) = nullptr;
};

/// Points at the member of the struct that a key fills.
using FieldReference = std::variant<bool*, int*, std::int64_t*, std::uint64_t*, double*,
                                    std::string*, std::vector<std::int64_t>*, std::vector<double>*,
                                    std::vector<std::string>*, EnumReference>;

/// One key of the configuration. Valid as long as the struct that was listed.
struct Field {
  std::string key;  ///< full path: model.experts.count
  FieldReference value;
  std::string unit;  ///< empty: none
  std::string help;
  Allowed allowed;
};

/// The one visitor of `fields(visit)`: turns a tree of structs into a flat list, from which
/// reading, checking, printing and the reference all come.
class FieldCollector {
 public:
  template <typename Value>
  void field(const char* key, Value& member, const char* unit, const char* help,
             Allowed allowed = {}) {
    fields_.push_back({prefix_ + key, reference(member), unit, help, std::move(allowed)});
  }

  template <typename Struct>
  void section(const char* key, Struct& member) {
    const std::string outer = prefix_;
    prefix_ += std::string(key) + ".";
    member.fields(*this);
    prefix_ = outer;
  }

  std::vector<Field> take() { return std::move(fields_); }

 private:
  template <typename Value>
  static FieldReference reference(Value& member) {
    if constexpr (std::is_enum_v<Value>) {
      return EnumReference{
          &member, enum_words(Value{}),
          [](const void* target) { return static_cast<int>(*static_cast<const Value*>(target)); },
          [](void* target, int index) {
            *static_cast<Value*>(target) = static_cast<Value>(index);
          }};
    } else {
      return &member;
    }
  }

  std::string prefix_;
  std::vector<Field> fields_;
};

/// Every key of a configuration struct, in the order of the struct.
template <typename Config>
std::vector<Field> list_fields(Config& config) {
  FieldCollector collector;
  config.fields(collector);
  return collector.take();
}

}  // namespace hetmoe
