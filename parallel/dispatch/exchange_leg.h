#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "parallel/dispatch/dispatch_pattern.h"
#include "parallel/dispatch/traffic.h"

namespace hetmoe {

/// One way of rows and of what belongs to them from rank to rank, there and back. Every call starts
/// one all-to-all: collective; what it is given must stay until the Pending has been waited for.
struct ExchangeLeg {
  Traffic& traffic;
  std::int64_t columns = 0;  ///< of a row
  Counts rows_out = {};      ///< [ranks], and so below
  Counts selections_out = {};
  Counts rows_in = {};
  Counts selections_in = {};

  /// `out` [rows out, columns], by destination rank; fills `in` [rows in, columns], by source rank.
  Pending start_rows(const at::Tensor& out, const at::Tensor& in) const;
  Pending start_selections(std::span<const SelectionOnWire> out,
                           std::span<SelectionOnWire> in) const;

  /// The other way: `in` [rows in, columns] returns to where its rows came from, into `out`.
  Pending return_rows(const at::Tensor& in, const at::Tensor& out) const;
  Pending return_gate_gradients(std::span<const double> in, std::span<double> out) const;
};

/// As many numbers to every rank as from it, by rank; not counted as traffic. Collective, blocking.
void exchange_equal_parts(const Traffic& traffic, const Counts& send, Counts& receive);

/// Appends what `wire` says of rows from each rank; the first of these rows is `first_row` of
/// received.x. Broken invariants where it names rows that did not come.
void append_selections(std::span<const SelectionOnWire> wire, const ExchangeLeg& leg,
                       std::int64_t first_row, ReceivedTokens& received);

}  // namespace hetmoe
