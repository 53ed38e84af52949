#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace d2c::safetensors {

/// A tensor's name that a wrapper around the model, or around a part of it, has lengthened.
struct WrappedName {
  std::string bare;     ///< the name without it
  std::string part;     ///< what was put in: "_orig_mod."
  std::string wrapper;  ///< who puts it in, for messages: "torch.compile"
};

/// Nothing if the name has no part that is known to come from a wrapper.
[[nodiscard]] std::optional<WrappedName> find_wrapper(std::string_view tensor);

}  // namespace d2c::safetensors
