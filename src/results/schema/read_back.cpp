#include "schema/read_back.hpp"

#include "d2c/core/pending.hpp"

namespace d2c::results {

void ReadBack::check(const std::filesystem::path& file,
                     const std::filesystem::path& shown_as) const {
  try {
    const SchemaReader reader(file, SchemaReader::SealRule::was_checked);
    for (const Note& note : notes_) {
      if (note.of_file(reader) == note.digest) continue;
      refuse_lost_write({shown_as, note.path}, "the file holds other values");
    }
    reader.read_attributes();
  } catch (const InputError& error) {
    refuse_lost_write({shown_as, error.where().item}, error.message().what);
  }
}

}  // namespace d2c::results
