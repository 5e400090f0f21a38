#include "errors.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/*
 * libuv's names would do, but it has none for EINPROGRESS, ETOOMANYREFS and EDQUOT, and the C
 * library's strerrorname_np exists only in newer versions of glibc.
 */
static const char *error_name(int error) {
  switch (error) {
  case E2BIG: return "E2BIG";
  case EACCES: return "EACCES";
  case EADDRINUSE: return "EADDRINUSE";
  case EADDRNOTAVAIL: return "EADDRNOTAVAIL";
  case EAFNOSUPPORT: return "EAFNOSUPPORT";
  case EAGAIN: return "EAGAIN";
  case EALREADY: return "EALREADY";
  case EBADF: return "EBADF";
  case EBADMSG: return "EBADMSG";
  case EBUSY: return "EBUSY";
  case ECANCELED: return "ECANCELED";
  case ECONNABORTED: return "ECONNABORTED";
  case ECONNREFUSED: return "ECONNREFUSED";
  case ECONNRESET: return "ECONNRESET";
  case EDEADLK: return "EDEADLK";
  case EDESTADDRREQ: return "EDESTADDRREQ";
  case EDQUOT: return "EDQUOT";
  case EEXIST: return "EEXIST";
  case EFAULT: return "EFAULT";
  case EFBIG: return "EFBIG";
  case EINPROGRESS: return "EINPROGRESS";
  case EINTR: return "EINTR";
  case EINVAL: return "EINVAL";
  case EIO: return "EIO";
  case EISCONN: return "EISCONN";
  case EISDIR: return "EISDIR";
  case ELOOP: return "ELOOP";
  case EMFILE: return "EMFILE";
  case EMLINK: return "EMLINK";
  case EMSGSIZE: return "EMSGSIZE";
  case ENAMETOOLONG: return "ENAMETOOLONG";
  case ENFILE: return "ENFILE";
  case ENOBUFS: return "ENOBUFS";
  case ENODEV: return "ENODEV";
  case ENOENT: return "ENOENT";
  case ENOLCK: return "ENOLCK";
  case ENOMEM: return "ENOMEM";
  case ENOPROTOOPT: return "ENOPROTOOPT";
  case ENOSPC: return "ENOSPC";
  case ENOSYS: return "ENOSYS";
  case ENOTCONN: return "ENOTCONN";
  case ENOTDIR: return "ENOTDIR";
  case ENOTSOCK: return "ENOTSOCK";
  case ENOTSUP: return "ENOTSUP";
  case ENOTTY: return "ENOTTY";
  case ENXIO: return "ENXIO";
  case EOVERFLOW: return "EOVERFLOW";
  case EPERM: return "EPERM";
  case EPIPE: return "EPIPE";
  case EPROTO: return "EPROTO";
  case EPROTONOSUPPORT: return "EPROTONOSUPPORT";
  case EPROTOTYPE: return "EPROTOTYPE";
  case ERANGE: return "ERANGE";
  case EROFS: return "EROFS";
  case ESHUTDOWN: return "ESHUTDOWN";
  case ESOCKTNOSUPPORT: return "ESOCKTNOSUPPORT";
  case ESPIPE: return "ESPIPE";
  case ESRCH: return "ESRCH";
  case ESTALE: return "ESTALE";
  case ETIMEDOUT: return "ETIMEDOUT";
  case ETOOMANYREFS: return "ETOOMANYREFS";
  case ETXTBSY: return "ETXTBSY";
  case EXDEV: return "EXDEV";
  default: return "UNKNOWN";
  }
}

static bool set_text(napi_env env, napi_value object, const char *name, const char *text) {
  napi_value value;
  return napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value) == napi_ok &&
         napi_set_named_property(env, object, name, value) == napi_ok;
}

static bool set_number(napi_env env, napi_value object, const char *name, int number) {
  napi_value value;
  return napi_create_int32(env, number, &value) == napi_ok &&
         napi_set_named_property(env, object, name, value) == napi_ok;
}

napi_value throw_system_error(napi_env env, const char *syscall, int error, const char *path) {
  char text[PATH_MAX + 256];
  const char *name = error_name(error);
  snprintf(text, sizeof text, "%s: %s: %s%s%s", syscall, name, strerror(error), path ? ": " : "",
           path ? path : "");

  napi_value code, message, thrown;
  if (napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &code) == napi_ok &&
      napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message) == napi_ok &&
      napi_create_error(env, code, message, &thrown) == napi_ok &&
      set_number(env, thrown, "errno", error) && set_text(env, thrown, "syscall", syscall) &&
      (!path || set_text(env, thrown, "path", path)))
    napi_throw(env, thrown);
  else
    napi_throw_error(env, name, text); /* refused only if an exception is pending already */
  return NULL;
}

napi_value throw_unless_zero(napi_env env, const char *syscall, int result) {
  return result == 0 ? NULL : throw_system_error(env, syscall, errno, NULL);
}

bool would_block(int error) {
#if EAGAIN != EWOULDBLOCK
  if (error == EWOULDBLOCK)
    return true;
#endif
  return error == EAGAIN;
}
