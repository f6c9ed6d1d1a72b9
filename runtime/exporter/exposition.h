#pragma once

// Private: shows prometheus-cpp. What the two groups of series share.
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>
#include <vector>

#include "runtime/metrics/training_record.h"

namespace hetmoe::exposition {

using Counters = prometheus::Family<prometheus::Counter>;
using Gauges = prometheus::Family<prometheus::Gauge>;
using Histograms = prometheus::Family<prometheus::Histogram>;

Counters& counters(prometheus::Registry& registry, const char* name, const char* help);
Gauges& gauges(prometheus::Registry& registry, const char* name, const char* help);
Histograms& histograms(prometheus::Registry& registry, const char* name, const char* help);
/// A family of one series without labels.
prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help);
prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help);

/// 1, 2 and 5 times powers of ten, from a millisecond to 500 s.
const std::vector<double>& duration_buckets();

/// A counter takes nothing that is negative or no number.
void add(prometheus::Counter& counter, double value);

struct Phase {
  const char* name;
  double PhaseSeconds::*seconds;
};
/// As in metrics.jsonl, the rest last.
inline constexpr Phase kPhases[] = {{"data", &PhaseSeconds::data},
                                    {"forward", &PhaseSeconds::forward},
                                    {"dispatch_wait", &PhaseSeconds::dispatch_wait},
                                    {"expert", &PhaseSeconds::expert},
                                    {"combine_wait", &PhaseSeconds::combine_wait},
                                    {"backward", &PhaseSeconds::backward},
                                    {"gradients", &PhaseSeconds::gradients},
                                    {"optimizer", &PhaseSeconds::optimizer},
                                    {"parameters", &PhaseSeconds::parameters},
                                    {"other", &PhaseSeconds::other}};

struct Direction {
  const char* name;
  std::int64_t StepBytes::*bytes;
};
inline constexpr Direction kDirections[] = {{"dispatch", &StepBytes::dispatch},
                                            {"combine", &StepBytes::combine}};

/// In Prometheus' text format, version 0.0.4.
std::string text_of(const prometheus::Registry& registry);

}  // namespace hetmoe::exposition
