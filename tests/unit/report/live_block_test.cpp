#include "runtime/report/live_block.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace hetmoe {
namespace {

/// As much of a terminal as the block needs; lines that run over its edge wrap.
class Screen {
 public:
  Screen(std::size_t rows, std::size_t columns) : columns_(columns), rows_(rows, "") {}

  void write(const std::string& text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\x1b') {
        i = escape(text, i + 2);
      } else if (text[i] == '\r') {
        column_ = 0;
      } else if (text[i] == '\n') {
        column_ = 0;
        down();
      } else {
        put(text[i]);
      }
    }
  }

  std::string shown() const {
    std::string text;
    for (const std::string& row : rows_) text += row + "\n";
    return text;
  }

 private:
  std::size_t escape(const std::string& text, std::size_t at) {
    std::size_t count = 0;
    while (text[at] >= '0' && text[at] <= '9') {
      count = 10 * count + static_cast<std::size_t>(text[at++] - '0');
    }
    if (text[at] == 'A') row_ -= std::min(row_, count);
    if (text[at] == 'K' || text[at] == 'J') {
      if (rows_[row_].size() > column_) rows_[row_].resize(column_);
    }
    if (text[at] == 'J') {
      for (std::size_t below = row_ + 1; below < rows_.size(); ++below) rows_[below].clear();
    }
    return at;
  }

  void put(char letter) {
    if (column_ == columns_) {
      column_ = 0;
      down();
    }
    if (rows_[row_].size() <= column_) rows_[row_].resize(column_ + 1, ' ');
    rows_[row_][column_++] = letter;
  }

  void down() {
    if (++row_ < rows_.size()) return;
    rows_.erase(rows_.begin());
    rows_.emplace_back();
    --row_;
  }

  std::size_t columns_;
  std::vector<std::string> rows_;
  std::size_t row_ = 0;
  std::size_t column_ = 0;
};

TEST(LiveBlock, TakesThePlaceOfTheBlockBefore) {
  Screen screen(6, 20);
  screen.write("$ status\n");
  LiveBlock block;
  screen.write(block.redrawn("one long line\ntwo\nthree\n", {6, 20}));
  EXPECT_EQ(screen.shown(), "$ status\none long line\ntwo\nthree\n\n\n");
  screen.write(block.redrawn("short\n2\n", {6, 20}));
  EXPECT_EQ(screen.shown(), "$ status\nshort\n2\n\n\n\n");
  screen.write(block.redrawn("a\nb\nc\nd\n", {6, 20}));
  EXPECT_EQ(screen.shown(), "$ status\na\nb\nc\nd\n\n");
}

TEST(LiveBlock, ATextLargerThanTheTerminalStaysInPlace) {
  Screen screen(4, 5);
  LiveBlock block;
  for (int turn = 0; turn < 3; ++turn) {
    screen.write(block.redrawn("1234567\nb\nc\nd\ne\n", {4, 5}));
    EXPECT_EQ(screen.shown(), "12345\nb\n...\n\n") << turn;
  }
}

}  // namespace
}  // namespace hetmoe
