#pragma once

namespace hetmoe {

/// Told by the decoder as soon as nothing adds to the gradients of a block any more, so that they
/// can leave for their owners while backward goes on.
class GradientListener {
 public:
  virtual ~GradientListener() = default;

  /// In the backward pass of a step's last microbatch, once per block (parameter_specs.h), its
  /// slices included, in the same order on every rank: the head, the layers from the last to the
  /// first, the hypernetwork if there is one, the embedding.
  virtual void complete(int block) = 0;
};

/// Gradients stay: one rank, or a reduction after backward.
class NoGradientListener final : public GradientListener {
 public:
  void complete(int /*block*/) override {}
};

}  // namespace hetmoe
