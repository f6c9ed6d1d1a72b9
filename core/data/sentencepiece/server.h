#pragma once

#include <string>

namespace hetmoe {

/// Answers requests on standard input until it ends. Frames: a 32-bit length, then that many bytes,
/// little-endian. A reply begins with '+', or with '-' and goes on with a message. Requests:
///   'M'                                           vocabulary size i32, end of document i32, u8:
///   keeps every byte 'E', count u32, count x (length u32, bytes)   count x (ids u32, ids x i32)
///   'D', ids x i32                                text
/// Throws std::runtime_error when the model cannot be loaded or the connection breaks mid-frame.
void serve(const std::string& model_path);

}  // namespace hetmoe
