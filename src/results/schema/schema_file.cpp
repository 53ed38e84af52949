#include "schema/schema_file.hpp"

#include "files/seal.hpp"

namespace d2c::results {

void SchemaFile::complete(const Schema& schema, const std::function<void(SchemaWriter&)>& write) {
  SchemaWriter archive(content_.get(), pending_.place());
  archive.header(schema);
  write(archive);
  archive.complete();
  content_.close();
  pending_.append(seal_line(pending_.path()));
  pending_.sync();
}

}  // namespace d2c::results
