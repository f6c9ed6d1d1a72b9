#pragma once

namespace hetmoe {

/// What a backward pass does with the memory of a gradient. kBegin: it gives the first part of a
/// sum. What is there has no meaning and is not read, and afterwards every element has a value: 0
/// where nothing was added, as with no rows at all. kContinue: it adds.
enum class GradientSum { kBegin, kContinue };

}  // namespace hetmoe
