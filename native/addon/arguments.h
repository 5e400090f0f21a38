/*
 * Reading what JavaScript passed. Each function either fills in its last parameter, or throws a
 * TypeError (another type) or a RangeError (a number that does not fit) and returns false.
 * None of them allocates.
 */
#ifndef SYS_ARGUMENTS_H
#define SYS_ARGUMENTS_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory of a typed array: valid until control goes back to JavaScript. */
struct bytes {
  uint8_t *data;
  size_t length;
};

/* Fills all of `values`; what was not passed is undefined. */
bool read_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values);

/* A file descriptor: a whole number, 0 or above. */
bool read_descriptor(napi_env env, napi_value value, int *fd);

/* A whole number from `least` to `most`. */
bool read_integer(napi_env env, napi_value value, const char *name, int64_t least, int64_t most,
                  int64_t *integer);

bool read_flag(napi_env env, napi_value value, const char *name, bool *flag);

/* A whole Uint8Array. */
bool read_bytes(napi_env env, napi_value array, struct bytes *bytes);

/* A part of a Uint8Array. An undefined offset is 0, an undefined length all that follows. */
bool read_part(napi_env env, napi_value array, napi_value offset, napi_value length,
               struct bytes *part);

/* Reading into nothing gives 0, which would be taken for the end: refused with a RangeError. */
bool require_room(napi_env env, struct bytes bytes);

enum text { TEXT_READ, TEXT_TOO_LONG, TEXT_REFUSED };

/*
 * A string as UTF-8 with a closing NUL. A string with a NUL in it is refused with a TypeError.
 * TEXT_TOO_LONG (nothing thrown): more than capacity - 1 bytes; `text` has the beginning.
 */
enum text read_text(napi_env env, napi_value value, const char *name, size_t capacity, char *text,
                    size_t *length);

#endif
