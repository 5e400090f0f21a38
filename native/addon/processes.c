/* Processes by descriptor, which never means another one that got the pid later; and leaving at once. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "addon.h"
#include "arguments.h"
#include "errors.h"
#include "results.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_send_signal 424 /* the same on every architecture */
#define SYS_pidfd_open 434
#endif

/* The kernel makes every pidfd close-on-exec. */
static napi_value pidfd_open(napi_env env, napi_callback_info info) {
  napi_value argument;
  int64_t pid;
  if (!read_arguments(env, info, 1, &argument) ||
      !read_integer(env, argument, "pid", 1, INT_MAX, &pid))
    return NULL;
  return new_descriptor(env, "pidfd_open", (int)syscall(SYS_pidfd_open, (pid_t)pid, 0));
}

static napi_value pidfd_send_signal(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int fd;
  int64_t number;
  if (!read_arguments(env, info, 2, arguments) || !read_descriptor(env, arguments[0], &fd) ||
      !read_integer(env, arguments[1], "signal", 0, SIGRTMAX, &number))
    return NULL;
  long result = syscall(SYS_pidfd_send_signal, fd, (int)number, NULL, 0);
  return throw_unless_zero(env, "pidfd_send_signal", (int)result);
}

static napi_value leave_at_once(napi_env env, napi_callback_info info) {
  napi_value argument;
  int64_t status;
  if (!read_arguments(env, info, 1, &argument) ||
      !read_integer(env, argument, "status", 0, 255, &status))
    return NULL;
  _exit((int)status);
}

bool export_processes(napi_env env, napi_value exports) {
  static const struct function functions[] = {
      {"pidfdOpen", pidfd_open},
      {"pidfdSendSignal", pidfd_send_signal},
      {"leaveAtOnce", leave_at_once},
  };
  return export_functions(env, exports, functions, sizeof functions / sizeof *functions);
}
