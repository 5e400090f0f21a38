/* Failed system calls as JavaScript errors. */
#ifndef SYS_ERRORS_H
#define SYS_ERRORS_H

#include <node_api.h>
#include <stdbool.h>

/*
 * Throws an Error with `code` ("EACCES"), `errno` (13), `syscall` and, unless it is NULL, `path`.
 * Returns NULL, so that a function can end with it.
 */
napi_value throw_system_error(napi_env env, const char *syscall, int error, const char *path);

/* For calls that tell only success or failure: throws for -1 with the current errno. */
napi_value throw_unless_zero(napi_env env, const char *syscall, int result);

bool would_block(int error);

#endif
