#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hetmoe {

/// Text to token ids and back. Not thread-safe.
/// Errors: StorageError naming the tokenizer and its reason.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual std::string name() const = 0;  ///< "bytes", "sentencepiece" or "huggingface"
  virtual std::int64_t vocab_size() const = 0;
  virtual std::string digest() const = 0;            ///< "xxh3-128:<32 hex digits>"
  virtual std::int32_t end_of_document() const = 0;  ///< id appended to each document
  virtual bool keeps_every_byte() const = 0;         ///< decode(encode(x)) == x for any bytes x

  /// Replaces out[i] by the ids of texts[i], without end of document. Costs one exchange with a
  /// child process where there is one: many small texts in one call are much faster.
  virtual void encode(std::span<const std::string_view> texts,
                      std::vector<std::vector<std::int32_t>>& out) = 0;

  /// End-of-document ids give no text. Ids must lie in [0, vocab_size()).
  virtual std::string decode(std::span<const std::int32_t> tokens) = 0;

  /// One text; replaces `out`.
  void encode(std::string_view text, std::vector<std::int32_t>& out);
};

/// "bytes", or the path of a SentencePiece model, of a tokenizer.json (told apart by content) or of
/// a folder that holds tokenizer.json or tokenizer.model. `executable`: path of
/// hetmoe-sentencepiece, empty: beside the running program, as hetmoe-huggingface-tokenizer is.
/// Errors: ConfigError for another word, StorageError for the file.
std::unique_ptr<Tokenizer> make_tokenizer(const std::string& bytes_or_path,
                                          const std::string& executable = "");

/// The file that make_tokenizer reads for this path: itself, or the one in the folder.
/// Errors: ConfigError where there is none.
std::string tokenizer_file(const std::string& path);

/// Whether a tokenizer's file is a tokenizer.json. Errors: StorageError.
bool is_tokenizer_json(const std::string& file);

}  // namespace hetmoe
