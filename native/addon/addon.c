/* The table of contents: what Node.js finds when it loads the addon. */
#include "addon.h"

bool export_functions(napi_env env, napi_value exports, const struct function *functions,
                      size_t count) {
  for (size_t i = 0; i < count; i++) {
    napi_value function;
    if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL,
                             &function) != napi_ok ||
        napi_set_named_property(env, exports, functions[i].name, function) != napi_ok)
      return false;
  }
  return true;
}

NAPI_MODULE_INIT() {
  if (!export_sockets(env, exports) || !export_messages(env, exports) ||
      !export_descriptors(env, exports) || !export_terminal(env, exports) ||
      !export_clock(env, exports) || !export_readiness(env, exports) ||
      !export_processes(env, exports) || !export_records(env, exports))
    return NULL;
  return exports;
}
