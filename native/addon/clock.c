/* The time of day in nanoseconds, which JavaScript's Date does not have. */
#include <errno.h>
#include <time.h>

#include "addon.h"
#include "arguments.h"
#include "errors.h"

/* readWallClock(Float64Array [seconds, nanoseconds]): written in place, nothing is allocated. */
static napi_value read_wall_clock(napi_env env, napi_callback_info info) {
  napi_value into;
  napi_typedarray_type type;
  size_t length;
  void *data;
  if (!read_arguments(env, info, 1, &into))
    return NULL;
  if (napi_get_typedarray_info(env, into, &type, &length, &data, NULL, NULL) != napi_ok ||
      type != napi_float64_array || length < 2) {
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "into must be a Float64Array of two");
    return NULL;
  }
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0)
    return throw_system_error(env, "clock_gettime", errno, NULL);
  double *time = data;
  time[0] = (double)now.tv_sec;
  time[1] = (double)now.tv_nsec;
  return NULL;
}

bool export_clock(napi_env env, napi_value exports) {
  static const struct function functions[] = {{"readWallClock", read_wall_clock}};
  return export_functions(env, exports, functions, sizeof functions / sizeof *functions);
}
