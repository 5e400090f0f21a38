#include "arguments.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static bool refuse_type(napi_env env, const char *name, const char *expected) {
  char message[128];
  snprintf(message, sizeof message, "%s must be %s", name, expected);
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
  return false;
}

static bool is_undefined(napi_env env, napi_value value) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) == napi_ok && type == napi_undefined;
}

bool read_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
  return napi_get_cb_info(env, info, &count, values, NULL, NULL) == napi_ok;
}

/*
 * By way of a double, since N-API's integers wrap around or become 0: descriptor NaN would be
 * standard input.
 */
bool read_integer(napi_env env, napi_value value, const char *name, int64_t least, int64_t most,
                  int64_t *integer) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok)
    return refuse_type(env, name, "a number");
  if (number >= (double)least && number <= (double)most) {
    *integer = (int64_t)number;
    if ((double)*integer == number)
      return true;
  }
  char message[160];
  snprintf(message, sizeof message, "%s must be a whole number from %lld to %lld, not %.17g", name,
           (long long)least, (long long)most, number);
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", message);
  return false;
}

bool read_descriptor(napi_env env, napi_value value, int *fd) {
  int64_t integer;
  if (!read_integer(env, value, "a file descriptor", 0, INT_MAX, &integer))
    return false;
  *fd = (int)integer;
  return true;
}

bool read_flag(napi_env env, napi_value value, const char *name, bool *flag) {
  return napi_get_value_bool(env, value, flag) == napi_ok || refuse_type(env, name, "a boolean");
}

bool read_bytes(napi_env env, napi_value array, struct bytes *bytes) {
  napi_typedarray_type type;
  void *data;
  if (napi_get_typedarray_info(env, array, &type, &bytes->length, &data, NULL, NULL) != napi_ok ||
      type != napi_uint8_array)
    return refuse_type(env, "the data", "a Uint8Array");
  bytes->data = data;
  return true;
}

bool read_part(napi_env env, napi_value array, napi_value offset, napi_value length,
               struct bytes *part) {
  struct bytes whole;
  int64_t from = 0;
  if (!read_bytes(env, array, &whole))
    return false;
  int64_t most = (int64_t)whole.length;
  if (!is_undefined(env, offset) && !read_integer(env, offset, "offset", 0, most, &from))
    return false;
  int64_t count = most - from;
  if (!is_undefined(env, length) && !read_integer(env, length, "length", 0, most - from, &count))
    return false;
  part->data = whole.data ? whole.data + from : NULL;
  part->length = (size_t)count;
  return true;
}

bool require_room(napi_env env, struct bytes bytes) {
  if (bytes.length > 0)
    return true;
  napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "there must be room for at least one byte");
  return false;
}

enum text read_text(napi_env env, napi_value value, const char *name, size_t capacity, char *text,
                    size_t *length) {
  size_t whole;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &whole) != napi_ok ||
      napi_get_value_string_utf8(env, value, text, capacity, length) != napi_ok) {
    refuse_type(env, name, "a string");
    return TEXT_REFUSED;
  }
  if (memchr(text, '\0', *length)) {
    refuse_type(env, name, "a string without NUL characters");
    return TEXT_REFUSED;
  }
  return whole < capacity ? TEXT_READ : TEXT_TOO_LONG;
}
