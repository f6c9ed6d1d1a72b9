#pragma once

#include "core/model/model_config.h"
#include "core/model/parameter_store.h"
#include "runtime/checkpoint/checkpoint_reader.h"

namespace hetmoe {

/// Fills the compute copies of `store` from a checkpoint: dense tensors whole, of each expert just
/// the rows that are held here; fp32 masters are rounded to the store's type, as owners round them.
/// Whoever has a decoder over the store calls Decoder::parameters_changed afterwards.
/// Not collective: each rank reads for itself. Blocking: the disk. Memory: 16 MiB besides the
/// store. Errors: StorageError that names the checkpoint and a tensor that is missing or has
/// another shape than the model's; those of CheckpointReader.
void read_parameters(CheckpointReader& checkpoint, const ModelConfig& model, ParameterStore& store);

}  // namespace hetmoe
