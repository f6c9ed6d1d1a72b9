// hetmoe_safetensors_files write LIST FILE    writes what LIST says with our writer
// hetmoe_safetensors_files dump FILE...       what our reader finds, as one JSON document
//
// LIST: {"metadata": {...}, "tensors": [{"name", "dtype", "shape", "data": hex digits}]}. A dump is
// a list of such objects, one per file, or of {"error": why it was refused}.

#include <CLI/CLI.hpp>
#include <exception>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/files/safetensors.h"

namespace hetmoe {
namespace {

using Json = nlohmann::json;

TensorType type_of(const std::string& name) {
  for (int type = 0; type <= static_cast<int>(TensorType::kU64); ++type) {
    if (type_name(static_cast<TensorType>(type)) == name) return static_cast<TensorType>(type);
  }
  throw ConfigError("no tensor type '" + name + "'");
}

std::vector<std::byte> bytes_of(const std::string& digits) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::string digits_of(const std::vector<std::byte>& bytes) {
  std::string digits;
  for (const std::byte byte : bytes) {
    digits += "0123456789abcdef"[std::to_integer<int>(byte) >> 4];
    digits += "0123456789abcdef"[std::to_integer<int>(byte) & 15];
  }
  return digits;
}

void write(const std::string& list_file, const std::string& path) {
  std::ifstream input(list_file);
  const Json list = Json::parse(input);
  std::vector<TensorInfo> tensors;
  for (const Json& tensor : list.at("tensors")) {
    tensors.push_back({.name = tensor.at("name"),
                       .type = type_of(tensor.at("dtype")),
                       .shape = tensor.at("shape")});
  }
  SafetensorsWriter writer(path, tensors, list.at("metadata"));
  for (const Json& tensor : list.at("tensors")) writer.write(bytes_of(tensor.at("data")));
  const WrittenFile written = writer.finish();
  std::cout << Json{{"bytes", written.bytes}, {"digest", written.digest}} << '\n';
}

Json dump_of(const std::string& path) {
  const SafetensorsReader reader(path);
  Json tensors = Json::array();
  for (const TensorInfo& tensor : reader.header().tensors) {
    std::vector<std::byte> data(tensor.bytes());
    reader.read(tensor, 0, data);
    tensors.push_back({{"name", tensor.name},
                       {"dtype", type_name(tensor.type)},
                       {"shape", tensor.shape},
                       {"data", digits_of(data)}});
  }
  return {{"metadata", reader.header().metadata}, {"tensors", tensors}};
}

void dump(const std::vector<std::string>& paths) {
  Json documents = Json::array();
  for (const std::string& path : paths) {
    try {
      documents.push_back(dump_of(path));
    } catch (const StorageError& error) {
      documents.push_back({{"error", error.what()}});
    }
  }
  std::cout << documents << '\n';
}

}  // namespace
}  // namespace hetmoe

int main(int argc, char** argv) {
  std::string list;
  std::string file;
  std::vector<std::string> files;
  CLI::App app("Safetensors files by our reader and writer, for a peer");
  app.require_subcommand(1);
  CLI::App* write = app.add_subcommand("write", "Write a file");
  write->add_option("LIST", list)->required();
  write->add_option("FILE", file)->required();
  app.add_subcommand("dump", "Print what files hold")->add_option("FILE", files)->required();
  CLI11_PARSE(app, argc, argv);
  try {
    if (*write) {
      hetmoe::write(list, file);
    } else {
      hetmoe::dump(files);
    }
  } catch (const hetmoe::Error& error) {
    std::cerr << "hetmoe_safetensors_files: " << error.what() << '\n';
    return static_cast<int>(error.exit_code());
  } catch (const std::exception& error) {
    std::cerr << "hetmoe_safetensors_files: " << error.what() << '\n';
    return static_cast<int>(hetmoe::ExitCode::kInternal);
  }
  return 0;
}
