// hetmoe_tokenize TOKENIZER: our tokenizers as a program, for others to compare with. Reads texts,
// one in hexadecimal digits a line, all of them encoded in one call; prints what the tokenizer is,
// then per text its ids and their text.
#include <cstdio>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/data/tokenizer.h"

namespace {

std::string from_hexadecimal(const std::string& digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

std::string to_hexadecimal(const std::string& bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string digits;
  for (const char byte : bytes) {
    digits += kDigits[static_cast<unsigned char>(byte) >> 4];
    digits += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return digits;
}

void tokenize(const std::string& name) {
  const auto tokenizer = hetmoe::make_tokenizer(name);
  const nlohmann::json description = {{"name", tokenizer->name()},
                                      {"vocab_size", tokenizer->vocab_size()},
                                      {"end_of_document", tokenizer->end_of_document()},
                                      {"keeps_every_byte", tokenizer->keeps_every_byte()}};
  std::cout << description.dump() << "\n";
  std::vector<std::string> texts;
  for (std::string line; std::getline(std::cin, line);) texts.push_back(from_hexadecimal(line));
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  std::vector<std::vector<std::int32_t>> tokens;
  tokenizer->encode(views, tokens);
  for (const auto& ids : tokens) {
    const nlohmann::json line = {{"ids", ids}, {"text", to_hexadecimal(tokenizer->decode(ids))}};
    std::cout << line.dump() << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 2) throw std::runtime_error("usage: hetmoe_tokenize TOKENIZER");
    tokenize(argv[1]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
