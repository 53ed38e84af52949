#include "steps/post_processor.hpp"

namespace d2c::text {
namespace {

Frame template_frame(const Field& field) {
  Frame frame;
  bool behind_sequence = false;
  for (const Field& part : field.at("single").items()) {
    if (const auto sequence = part.find("Sequence")) {
      if (behind_sequence || sequence->at("id").string() != "A") {
        sequence->fail({"the template must have the sequence A once", "", ""});
      }
      behind_sequence = true;
      continue;
    }
    const std::string& name = part.at("SpecialToken").at("id").string();
    auto& ids = behind_sequence ? frame.suffix : frame.prefix;
    for (const Field& id : field.at("special_tokens").at(name).at("ids").items()) {
      ids.push_back(id.token_id());
    }
  }
  if (!behind_sequence)
    field.at("single").fail({"the template must have the sequence A once", "", ""});
  return frame;
}

/// The later processors work on what the earlier ones made.
Frame sequence_frame(const Field& field) {
  Frame frame;
  for (const Field& part : field.at("processors").items()) {
    const Frame outer = make_frame(part);
    frame.prefix.insert(frame.prefix.begin(), outer.prefix.begin(), outer.prefix.end());
    frame.suffix.insert(frame.suffix.end(), outer.suffix.begin(), outer.suffix.end());
  }
  return frame;
}

/// It changes offsets only.
Frame byte_level_frame(const Field& /*field*/) { return {}; }

}  // namespace

Frame make_frame(const Field& field) {
  return make_part<Frame>(field, {{"ByteLevel", byte_level_frame},
                                  {"Sequence", sequence_frame},
                                  {"TemplateProcessing", template_frame}});
}

}  // namespace d2c::text
