/* A library to be preloaded, that lets one system call fail, or ends the process there.
 *
 * D2C_FAULT=FUNCTION:N:WHAT, with FUNCTION one of those below, N the call that is meant, counted from
 * 1 over the calls whose file has D2C_FAULT_PATH in its path, and WHAT a number of errno, "kill", or
 * "lose": a write is said to have succeeded. With N = 0 nothing happens. D2C_FAULT_LOG names a file
 * that is told the number of calls when the process exits.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char function[16];
static const char* path_part;
static long meant = 0;
static int error_number = 0; /* 0 = kill, -1 = lose */
static atomic_long calls;
static int ready = 0;

__attribute__((constructor)) static void read_plan(void) {
  const char* plan = getenv("D2C_FAULT");
  path_part = getenv("D2C_FAULT_PATH");
  /* The daemon that Open MPI starts beside d2c is left alone. */
  if (plan == NULL || path_part == NULL || strcmp(program_invocation_short_name, "d2c") != 0)
    return;
  char what[16] = "";
  if (sscanf(plan, "%15[^:]:%ld:%15s", function, &meant, what) != 3) return;
  error_number = strcmp(what, "kill") == 0   ? 0
                 : strcmp(what, "lose") == 0 ? -1
                                             : atoi(what);
  ready = 1;
}

__attribute__((destructor)) static void tell(void) {
  const char* log = getenv("D2C_FAULT_LOG");
  if (!ready || log == NULL) return;
  ready = 0;
  FILE* file = fopen(log, "w");
  if (file == NULL) return;
  fprintf(file, "%ld\n", atomic_load(&calls));
  fclose(file);
}

/* Whether this call shall fail; errno is set then. */
static int fails_now(void) {
  if (atomic_fetch_add(&calls, 1) + 1 != meant) return 0;
  if (error_number == 0) kill(getpid(), SIGKILL);
  if (error_number < 0) return 1;
  errno = error_number;
  return 1;
}

static int is_meant(const char* name) { return ready && strcmp(name, function) == 0; }

static int fails_by_path(const char* name, const char* path) {
  if (!is_meant(name)) return 0;
  char full[8192] = "";
  if (path[0] != '/' && getcwd(full, sizeof full / 2) != NULL) strcat(full, "/");
  strncat(full, path, sizeof full / 2 - 1);
  return strstr(full, path_part) != NULL && fails_now();
}

static int fails_by_descriptor(const char* name, int descriptor) {
  if (!is_meant(name) || descriptor <= 2) return 0;
  char link[64];
  char path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return strstr(path, path_part) != NULL && fails_now();
}

#define REAL(result, name, ...)              \
  static result (*real)(__VA_ARGS__) = NULL; \
  if (real == NULL) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

ssize_t write(int descriptor, const void* bytes, size_t size) {
  REAL(ssize_t, "write", int, const void*, size_t);
  if (!fails_by_descriptor("write", descriptor)) return real(descriptor, bytes, size);
  return error_number < 0 ? (ssize_t)size : -1;
}
ssize_t pwrite(int descriptor, const void* bytes, size_t size, off_t at) {
  REAL(ssize_t, "pwrite", int, const void*, size_t, off_t);
  if (!fails_by_descriptor("pwrite", descriptor)) return real(descriptor, bytes, size, at);
  return error_number < 0 ? (ssize_t)size : -1;
}
ssize_t pwrite64(int descriptor, const void* bytes, size_t size, off_t at) {
  REAL(ssize_t, "pwrite64", int, const void*, size_t, off_t);
  if (!fails_by_descriptor("pwrite", descriptor)) return real(descriptor, bytes, size, at);
  return error_number < 0 ? (ssize_t)size : -1;
}
int fsync(int descriptor) {
  REAL(int, "fsync", int);
  return fails_by_descriptor("fsync", descriptor) ? -1 : real(descriptor);
}
int ftruncate(int descriptor, off_t size) {
  REAL(int, "ftruncate", int, off_t);
  return fails_by_descriptor("ftruncate", descriptor) ? -1 : real(descriptor, size);
}
int ftruncate64(int descriptor, off_t size) {
  REAL(int, "ftruncate64", int, off_t);
  return fails_by_descriptor("ftruncate", descriptor) ? -1 : real(descriptor, size);
}
int close(int descriptor) {
  REAL(int, "close", int);
  if (!fails_by_descriptor("close", descriptor)) return real(descriptor);
  const int error = errno; /* the descriptor is gone even so */
  real(descriptor);
  errno = error;
  return -1;
}
int rename(const char* from, const char* to) {
  REAL(int, "rename", const char*, const char*);
  return fails_by_path("rename", to) ? -1 : real(from, to);
}
int mkdir(const char* path, mode_t mode) {
  REAL(int, "mkdir", const char*, mode_t);
  return fails_by_path("mkdir", path) ? -1 : real(path, mode);
}
int unlink(const char* path) {
  REAL(int, "unlink", const char*);
  return fails_by_path("unlink", path) ? -1 : real(path);
}
int remove(const char* path) {
  REAL(int, "remove", const char*);
  return fails_by_path("unlink", path) ? -1 : real(path);
}
int rmdir(const char* path) {
  REAL(int, "rmdir", const char*);
  return fails_by_path("unlink", path) ? -1 : real(path);
}
int unlinkat(int folder, const char* path, int flags) {
  REAL(int, "unlinkat", int, const char*, int);
  return fails_by_descriptor("unlink", folder) ? -1 : real(folder, path, flags);
}
void* mmap(void* address, size_t size, int protection, int flags, int descriptor, off_t at) {
  REAL(void*, "mmap", void*, size_t, int, int, int, off_t);
  return fails_by_descriptor("mmap", descriptor)
             ? MAP_FAILED
             : real(address, size, protection, flags, descriptor, at);
}

#define OPEN(name)                                                               \
  int name(const char* path, int flags, ...) {                                   \
    mode_t mode = 0;                                                             \
    if ((flags & (O_CREAT | __O_TMPFILE)) != 0) {                                \
      va_list rest;                                                              \
      va_start(rest, flags);                                                     \
      mode = va_arg(rest, mode_t);                                               \
      va_end(rest);                                                              \
    }                                                                            \
    REAL(int, #name, const char*, int, ...);                                     \
    const int writes = (flags & O_ACCMODE) != O_RDONLY;                          \
    return writes && fails_by_path("open", path) ? -1 : real(path, flags, mode); \
  }
OPEN(open)
OPEN(open64)

/* Counted are the allocations of a page and more; the path does not matter. */
extern void* __libc_malloc(size_t size);
void* malloc(size_t size) {
  if (size >= 4096 && is_meant("malloc") && fails_now()) return NULL;
  return __libc_malloc(size);
}
