#include "steps/metaspace.hpp"

namespace d2c::text {

Metaspace read_metaspace(const Field& field) {
  static constexpr auto schemes = enum_names<PrependScheme>({{PrependScheme::always, "always"},
                                                             {PrependScheme::first, "first"},
                                                             {PrependScheme::never, "never"}});
  Metaspace metaspace{field.at("replacement").character(), PrependScheme::always};
  const auto scheme = field.find("prepend_scheme");
  if (scheme) metaspace.prepend = value_of(*scheme, schemes, "scheme");
  // The older form of the same setting.
  if (!field.boolean("add_prefix_space", true)) {
    if (scheme && metaspace.prepend != PrependScheme::never) {
      scheme->fail({"contradicts add_prefix_space: false", "", "remove one of them"});
    }
    metaspace.prepend = PrependScheme::never;
  }
  return metaspace;
}

}  // namespace d2c::text
