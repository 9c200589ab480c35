#define _GNU_SOURCE
#include "CLinux.h"

#include <string.h>

const char *clinux_error_name(int code) { return strerrorname_np(code); }

const char *clinux_error_text(int code) {
  const char *text = strerrordesc_np(code);
  return text ? text : "Unknown error";
}
