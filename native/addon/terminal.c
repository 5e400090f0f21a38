/* Terminals: window size and output modes. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "addon.h"
#include "arguments.h"
#include "errors.h"
#include "results.h"

static napi_value get_window_size(napi_env env, napi_callback_info info) {
  napi_value argument, result, rows, columns;
  int fd;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  struct winsize size;
  if (ioctl(fd, TIOCGWINSZ, &size) != 0)
    return throw_system_error(env, "TIOCGWINSZ", errno, NULL);
  if (napi_create_object(env, &result) != napi_ok ||
      napi_create_uint32(env, size.ws_row, &rows) != napi_ok ||
      napi_create_uint32(env, size.ws_col, &columns) != napi_ok ||
      napi_set_named_property(env, result, "rows", rows) != napi_ok ||
      napi_set_named_property(env, result, "columns", columns) != napi_ok)
    return NULL;
  return result;
}

static napi_value set_window_size(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  int fd;
  int64_t rows, columns;
  if (!read_arguments(env, info, 3, arguments) || !read_descriptor(env, arguments[0], &fd) ||
      !read_integer(env, arguments[1], "rows", 0, USHRT_MAX, &rows) ||
      !read_integer(env, arguments[2], "columns", 0, USHRT_MAX, &columns))
    return NULL;
  struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
  return throw_unless_zero(env, "TIOCSWINSZ", ioctl(fd, TIOCSWINSZ, &size));
}

static napi_value set_output_newline_translation(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  struct termios modes;
  if (tcgetattr(fd, &modes) != 0)
    return throw_system_error(env, "tcgetattr", errno, NULL);
  modes.c_oflag |= OPOST | ONLCR;
  return throw_unless_zero(env, "tcsetattr", tcsetattr(fd, TCSANOW, &modes));
}

/* The slave by its name, for kernels before 4.13, which cannot open it through the master. */
static int open_slave(int master) {
  char name[64];
  int fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (fd >= 0 || (errno != EINVAL && errno != ENOTTY))
    return fd;
  if (ptsname_r(master, name, sizeof name) != 0)
    return -1;
  return open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static napi_value open_terminal(napi_env env, napi_callback_info info) {
  (void)info;
  int ends[2];
  ends[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (ends[0] < 0)
    return throw_system_error(env, "posix_openpt", errno, NULL);
  if (grantpt(ends[0]) == 0 && unlockpt(ends[0]) == 0 && (ends[1] = open_slave(ends[0])) >= 0)
    return descriptor_list(env, ends, 2);
  int error = errno;
  close(ends[0]);
  return throw_system_error(env, "openpty", error, NULL);
}

static napi_value stop_output_processing(napi_env env, napi_callback_info info) {
  napi_value argument;
  int fd;
  if (!read_arguments(env, info, 1, &argument) || !read_descriptor(env, argument, &fd))
    return NULL;
  struct termios modes;
  if (tcgetattr(fd, &modes) != 0)
    return throw_system_error(env, "tcgetattr", errno, NULL);
  modes.c_oflag &= ~(tcflag_t)OPOST;
  return throw_unless_zero(env, "tcsetattr", tcsetattr(fd, TCSANOW, &modes));
}

bool export_terminal(napi_env env, napi_value exports) {
  static const struct function functions[] = {
      {"getWindowSize", get_window_size},
      {"setWindowSize", set_window_size},
      {"openTerminal", open_terminal},
      {"setOutputNewlineTranslation", set_output_newline_translation},
      {"stopOutputProcessing", stop_output_processing},
  };
  return export_functions(env, exports, functions, sizeof functions / sizeof *functions);
}
