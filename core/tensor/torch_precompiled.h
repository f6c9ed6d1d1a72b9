#pragma once

// The one precompiled header of LibTorch sources. Sources still include what they use: the dev
// preset builds without this file.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
