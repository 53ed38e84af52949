#include "steps/metaspace.hpp"

#include <map>

namespace d2c::text {

Metaspace read_metaspace(const Field& field) {
  static const std::map<std::string, PrependScheme> schemes = {{"always", PrependScheme::always},
                                                               {"first", PrependScheme::first},
                                                               {"never", PrependScheme::never}};
  Metaspace metaspace{field.at("replacement").character(), PrependScheme::always};
  const auto scheme = field.find("prepend_scheme");
  if (scheme) {
    const auto row = schemes.find(scheme->string());
    if (row == schemes.end()) {
      scheme->fail({"the scheme '" + scheme->string() + "' is not known", "",
                    "one of always, first, never"});
    }
    metaspace.prepend = row->second;
  }
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
