/* What system calls return, as JavaScript values; a failed call is thrown with its errno. */
#ifndef SYS_RESULTS_H
#define SYS_RESULTS_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Bytes moved; -1 when the call would block. */
napi_value transferred(napi_env env, const char *syscall, ssize_t count);

/* A number; negative: the call failed. */
napi_value number_or_error(napi_env env, const char *syscall, int number);

/* A descriptor that the call made. It is closed again if JavaScript cannot take it. */
napi_value new_descriptor(napi_env env, const char *syscall, int fd);

/* An array of descriptors. All of them are closed again if JavaScript cannot take it. */
napi_value descriptor_list(napi_env env, const int *descriptors, size_t count);

void close_all(const int *descriptors, size_t count);

#endif
