/* Reading, writing and making descriptors of any kind. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "addon.h"
#include "arguments.h"
#include "errors.h"
#include "results.h"

static napi_value js_read(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int fd;
  struct bytes into;
  if (!read_arguments(env, info, 4, arguments) || !read_descriptor(env, arguments[0], &fd) ||
      !read_part(env, arguments[1], arguments[2], arguments[3], &into) ||
      !require_room(env, into))
    return NULL;
  ssize_t count;
  do
    count = read(fd, into.data, into.length);
  while (count < 0 && errno == EINTR);
  return transferred(env, "read", count);
}

static napi_value js_write(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int fd;
  struct bytes from;
  if (!read_arguments(env, info, 4, arguments) || !read_descriptor(env, arguments[0], &fd) ||
      !read_part(env, arguments[1], arguments[2], arguments[3], &from))
    return NULL;
  ssize_t count;
  do
    count = write(fd, from.data, from.length);
  while (count < 0 && errno == EINTR);
  return transferred(env, "write", count);
}

/* Fills in `parts` from pairs of offset and length; false, with a RangeError thrown, for those outside. */
static bool read_parts(napi_env env, struct bytes memory, const uint32_t *pairs, size_t count,
                       struct iovec *parts) {
  for (size_t i = 0; i < count; i++) {
    uint64_t offset = pairs[2 * i], length = pairs[2 * i + 1];
    if (offset + length > memory.length) {
      napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "a part is outside of the memory");
      return false;
    }
    parts[i] = (struct iovec){.iov_base = memory.data + offset, .iov_len = length};
  }
  return true;
}

static napi_value write_gathered(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  int fd;
  struct bytes memory;
  void *pairs;
  size_t length;
  int64_t count;
  napi_typedarray_type type;
  struct iovec parts[IOV_MAX];
  if (!read_arguments(env, info, 4, arguments) || !read_descriptor(env, arguments[0], &fd) ||
      !read_bytes(env, arguments[1], &memory))
    return NULL;
  if (napi_get_typedarray_info(env, arguments[2], &type, &length, &pairs, NULL, NULL) != napi_ok ||
      type != napi_uint32_array) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "the parts must be a Uint32Array");
    return NULL;
  }
  int64_t most = (int64_t)length / 2 < IOV_MAX ? (int64_t)length / 2 : IOV_MAX;
  if (!read_integer(env, arguments[3], "count", 1, most, &count) ||
      !read_parts(env, memory, pairs, (size_t)count, parts))
    return NULL;
  ssize_t written;
  do
    written = writev(fd, parts, (int)count);
  while (written < 0 && errno == EINTR);
  return transferred(env, "writev", written);
}

static napi_value js_pipe(napi_env env, napi_callback_info info) {
  (void)info;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    return throw_system_error(env, "pipe2", errno, NULL);
  return descriptor_list(env, ends, 2);
}

static bool read_descriptor_and_flag(napi_env env, napi_callback_info info, int *fd, bool *flag) {
  napi_value arguments[2];
  return read_arguments(env, info, 2, arguments) && read_descriptor(env, arguments[0], fd) &&
         read_flag(env, arguments[1], "on", flag);
}

static int with_flag(int flags, int flag, bool on) { return on ? flags | flag : flags & ~flag; }

static napi_value set_non_blocking(napi_env env, napi_callback_info info) {
  int fd;
  bool on;
  if (!read_descriptor_and_flag(env, info, &fd, &on))
    return NULL;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0)
    return throw_system_error(env, "fcntl", errno, NULL);
  return throw_unless_zero(env, "fcntl", fcntl(fd, F_SETFL, with_flag(flags, O_NONBLOCK, on)));
}

static napi_value set_close_on_exec(napi_env env, napi_callback_info info) {
  int fd;
  bool on;
  if (!read_descriptor_and_flag(env, info, &fd, &on))
    return NULL;
  int flags = fcntl(fd, F_GETFD);
  if (flags < 0)
    return throw_system_error(env, "fcntl", errno, NULL);
  return throw_unless_zero(env, "fcntl", fcntl(fd, F_SETFD, with_flag(flags, FD_CLOEXEC, on)));
}

/* From 3 up, so that a copy never becomes someone's standard input by chance. */
static napi_value duplicate(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  return new_descriptor(env, "fcntl", fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

static napi_value duplicate_onto(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int fd, target, result;
  if (!read_arguments(env, info, 2, arguments) || !read_descriptor(env, arguments[0], &fd) ||
      !read_descriptor(env, arguments[1], &target))
    return NULL;
  do
    result = dup3(fd, target, target <= STDERR_FILENO ? 0 : O_CLOEXEC);
  while (result < 0 && errno == EINTR);
  return result < 0 ? throw_system_error(env, "dup3", errno, NULL) : NULL;
}

static napi_value js_close(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  /* On Linux the descriptor is gone even if the call was interrupted. */
  if (close(fd) != 0 && errno != EINTR)
    return throw_system_error(env, "close", errno, NULL);
  return NULL;
}

static napi_value get_pipe_size(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  return number_or_error(env, "F_GETPIPE_SZ", fcntl(fd, F_GETPIPE_SZ));
}

static napi_value set_pipe_size(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int fd;
  int64_t size;
  if (!read_arguments(env, info, 2, arguments) || !read_descriptor(env, arguments[0], &fd) ||
      !read_integer(env, arguments[1], "bytes", 0, INT_MAX, &size))
    return NULL;
  return number_or_error(env, "F_SETPIPE_SZ", fcntl(fd, F_SETPIPE_SZ, (int)size));
}

static bool read_transfer(napi_env env, napi_callback_info info, int *from, int *to, int64_t *most) {
  napi_value arguments[3];
  return read_arguments(env, info, 3, arguments) && read_descriptor(env, arguments[0], from) &&
         read_descriptor(env, arguments[1], to) &&
         read_integer(env, arguments[2], "length", 1, INT_MAX, most);
}

static napi_value js_splice(napi_env env, napi_callback_info info) {
  int from, to;
  int64_t most;
  if (!read_transfer(env, info, &from, &to, &most))
    return NULL;
  ssize_t count;
  do
    count = splice(from, NULL, to, NULL, (size_t)most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  while (count < 0 && errno == EINTR);
  return transferred(env, "splice", count);
}

static napi_value js_tee(napi_env env, napi_callback_info info) {
  int from, to;
  int64_t most;
  if (!read_transfer(env, info, &from, &to, &most))
    return NULL;
  ssize_t count;
  do
    count = tee(from, to, (size_t)most, SPLICE_F_NONBLOCK);
  while (count < 0 && errno == EINTR);
  return transferred(env, "tee", count);
}

static napi_value js_seek_end(napi_env env, napi_callback_info info) {
  napi_value argument, result;
  int fd;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  off_t end = lseek(fd, 0, SEEK_END);
  if (end < 0)
    return throw_system_error(env, "lseek", errno, NULL);
  return napi_create_int64(env, end, &result) == napi_ok ? result : NULL;
}

static napi_value bytes_readable(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd, count = 0;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  int result = ioctl(fd, FIONREAD, &count);
  return number_or_error(env, "FIONREAD", result < 0 ? result : count);
}

static napi_value event_fd(napi_env env, napi_callback_info info) {
  napi_value argument;
  int64_t initial;
  if (!read_arguments(env, info, 1, &argument) ||
      !read_integer(env, argument, "initial", 0, UINT_MAX, &initial))
    return NULL;
  return new_descriptor(env, "eventfd", eventfd((unsigned)initial, EFD_CLOEXEC | EFD_NONBLOCK));
}

static napi_value memory_file(napi_env env, napi_callback_info info) {
  napi_value argument;
  char name[PATH_MAX];
  size_t length;
  if (!read_arguments(env, info, 1, &argument))
    return NULL;
  switch (read_text(env, argument, "name", sizeof name, name, &length)) {
  case TEXT_REFUSED: return NULL;
  case TEXT_TOO_LONG: return throw_system_error(env, "memfd_create", EINVAL, NULL);
  case TEXT_READ: break;
  }
  return new_descriptor(env, "memfd_create", memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

static napi_value seal_memory_file(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  return throw_unless_zero(env, "F_ADD_SEALS", fcntl(fd, F_ADD_SEALS, seals));
}

static napi_value make_fifo(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  char path[PATH_MAX];
  size_t length;
  int64_t mode;
  if (!read_arguments(env, info, 2, arguments))
    return NULL;
  enum text text = read_text(env, arguments[0], "path", sizeof path, path, &length);
  if (text == TEXT_REFUSED || !read_integer(env, arguments[1], "mode", 0, 07777, &mode))
    return NULL;
  if (text == TEXT_TOO_LONG)
    return throw_system_error(env, "mkfifo", ENAMETOOLONG, path);
  if (mkfifo(path, (mode_t)mode) != 0)
    return throw_system_error(env, "mkfifo", errno, path);
  return NULL;
}

static napi_value lock_file(napi_env env, napi_callback_info info) {
  napi_value argument, locked;
  int fd;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  bool is_ours = flock(fd, LOCK_EX | LOCK_NB) == 0;
  if (!is_ours && errno != EWOULDBLOCK)
    return throw_system_error(env, "flock", errno, NULL);
  return napi_get_boolean(env, is_ours, &locked) == napi_ok ? locked : NULL;
}

bool export_descriptors(napi_env env, napi_value exports) {
  static const struct function functions[] = {
      {"read", js_read},
      {"write", js_write},
      {"writeGathered", write_gathered},
      {"pipe", js_pipe},
      {"setNonBlocking", set_non_blocking},
      {"setCloseOnExec", set_close_on_exec},
      {"duplicate", duplicate},
      {"duplicateOnto", duplicate_onto},
      {"close", js_close},
      {"getPipeSize", get_pipe_size},
      {"setPipeSize", set_pipe_size},
      {"splice", js_splice},
      {"tee", js_tee},
      {"bytesReadable", bytes_readable},
      {"seekEnd", js_seek_end},
      {"eventFd", event_fd},
      {"memoryFile", memory_file},
      {"sealMemoryFile", seal_memory_file},
      {"makeFifo", make_fifo},
      {"lockFile", lock_file},
  };
  return export_functions(env, exports, functions, sizeof functions / sizeof *functions);
}
