#include "schema/schema_file.hpp"

#include "files/seal.hpp"

namespace d2c::results {

void SchemaFile::complete(const Schema& schema, const std::function<void(SchemaWriter&)>& write) {
  SchemaWriter archive(content_.get(), pending_.place(), read_back_);
  archive.header(schema);
  write(archive);
  archive.complete();
  content_.close();
  pending_.append(seal_line(pending_.alias()));
  pending_.sync();
  if (check_seal(pending_.alias()) != Seal::fits) {
    refuse_lost_write({pending_.place()}, "its checksum does not fit");
  }
  read_back_.check(pending_.alias(), pending_.place());
}

}  // namespace d2c::results
