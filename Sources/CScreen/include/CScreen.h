#pragma once
#include <stddef.h>

/// A file of the citizen's screen.
typedef struct {
  const unsigned char *bytes;
  size_t length;
} cscreen_file;

cscreen_file cscreen_page(void);
cscreen_file cscreen_style(void);
cscreen_file cscreen_script(void);
