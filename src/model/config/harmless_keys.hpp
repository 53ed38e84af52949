#pragma once

#include "config/config_reader.hpp"

namespace d2c::model {

/// Keys that every Hugging Face configuration may carry and that do not change the forward pass:
/// provenance, training, generation and classification settings.
void ignore_harmless_keys(ConfigReader& config);

}  // namespace d2c::model
