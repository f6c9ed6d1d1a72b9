#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "runtime/run_config.h"

namespace hetmoe::test {

/// A configuration file that lives as long as this object.
class ConfigText {
 public:
  explicit ConfigText(const std::string& text)
      : folder_(std::filesystem::temp_directory_path() /
                ("hetmoe-config-" + std::to_string(::getpid()))),
        path_(folder_ / "x.yaml") {
    std::filesystem::create_directories(folder_);
    std::ofstream(path_, std::ios::binary) << text;
  }
  ~ConfigText() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  ConfigText(const ConfigText&) = delete;
  ConfigText& operator=(const ConfigText&) = delete;

  std::string path() const { return path_.string(); }

  RunConfig load(const std::vector<std::string>& settings = {}) const {
    return load_run_config(path(), settings);
  }

  /// What load() complains of, the file's path shortened to x.yaml; empty: nothing.
  std::string complaint(const std::vector<std::string>& settings = {}) const {
    try {
      load(settings);
    } catch (const ConfigError& error) {
      std::string text = error.what();
      for (auto at = text.find(path()); at != std::string::npos; at = text.find(path())) {
        text.replace(at, path().size(), "x.yaml");
      }
      return text;
    }
    return "";
  }

 private:
  std::filesystem::path folder_;
  std::filesystem::path path_;
};

/// What makes any configuration complete.
inline const std::vector<std::string> kRandomTokens = {"data.train=random",
                                                       "evaluate.every_steps=0"};

/// The complaint about a text that is otherwise complete.
inline std::string complaint(const std::string& text, std::vector<std::string> settings = {}) {
  settings.insert(settings.begin(), kRandomTokens.begin(), kRandomTokens.end());
  return ConfigText(text).complaint(settings);
}

}  // namespace hetmoe::test
