#include "results.h"

#include <errno.h>
#include <unistd.h>

#include "errors.h"

napi_value number_or_error(napi_env env, const char *syscall, int number) {
  napi_value result;
  if (number < 0)
    return throw_system_error(env, syscall, errno, NULL);
  return napi_create_int32(env, number, &result) == napi_ok ? result : NULL;
}

/* An int is enough: Linux moves at most 0x7ffff000 bytes in one call. */
napi_value transferred(napi_env env, const char *syscall, ssize_t count) {
  napi_value result;
  if (count < 0 && !would_block(errno))
    return throw_system_error(env, syscall, errno, NULL);
  return napi_create_int32(env, (int)count, &result) == napi_ok ? result : NULL;
}

napi_value new_descriptor(napi_env env, const char *syscall, int fd) {
  napi_value result = number_or_error(env, syscall, fd);
  if (!result && fd >= 0)
    close(fd);
  return result;
}

napi_value descriptor_list(napi_env env, const int *descriptors, size_t count) {
  napi_value list, number;
  bool complete = napi_create_array_with_length(env, count, &list) == napi_ok;
  for (size_t i = 0; complete && i < count; i++)
    complete = napi_create_int32(env, descriptors[i], &number) == napi_ok &&
               napi_set_element(env, list, (uint32_t)i, number) == napi_ok;
  if (complete)
    return list;
  close_all(descriptors, count);
  return NULL;
}

void close_all(const int *descriptors, size_t count) {
  for (size_t i = 0; i < count; i++)
    close(descriptors[i]);
}
