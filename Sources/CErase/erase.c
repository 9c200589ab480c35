#define _GNU_SOURCE
#include "CErase.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

// What was on a citizen's card has been in many buffers when the reply is out: of the line, the parser, the card, the
// JSON, the HTTP server, each copied by its own rules. So it is erased where all of them end: here every free() of the
// program is, the Swift runtime's and the libraries' too (malloc(3) "Replacing malloc" of the C library's manual).

extern void __libc_free(void *memory);

void free(void *memory) {
  if (!memory) return;
  explicit_bzero(memory, malloc_usable_size(memory));
  __libc_free(memory);
}

// The C library's own would give the old place back without asking free().
void *realloc(void *memory, size_t size) {
  if (!memory) return malloc(size);
  if (!size) {
    free(memory);
    return NULL;
  }
  const size_t held = malloc_usable_size(memory);
  if (size <= held && size >= held / 2) return memory;
  void *moved = malloc(size);
  if (!moved) return NULL;
  memcpy(moved, memory, size < held ? size : held);
  free(memory);
  return moved;
}

void *reallocarray(void *memory, size_t count, size_t size) {
  size_t total;
  if (__builtin_mul_overflow(count, size, &total)) {
    errno = ENOMEM;
    return NULL;
  }
  return realloc(memory, total);
}
