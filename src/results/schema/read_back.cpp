#include "schema/read_back.hpp"

namespace d2c::results {

void ReadBack::check(const std::filesystem::path& file,
                     const std::filesystem::path& shown_as) const {
  const auto refuse = [&](const std::string& path, const std::string& reason) {
    throw IoError({shown_as, path},
                  {"cannot be written", "what was written is not what can be read",
                   "check the disk, or write to another place"},
                  reason);
  };
  try {
    const SchemaReader reader(file, SchemaReader::SealRule::was_checked);
    for (const Note& note : notes_) {
      if (note.of_file(reader) != note.digest) refuse(note.path, "the file holds other values");
    }
    reader.read_attributes();
  } catch (const InputError& error) {
    refuse(error.where().item, error.message().what);
  }
}

}  // namespace d2c::results
