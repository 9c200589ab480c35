#ifndef CPAGES_H
#define CPAGES_H

#include <stdbool.h>
#include <stddef.h>

/// Number of pages; the program has each in colour and in grey.
#define CPAGES_COUNT 4

/// One page image; the bytes live as long as the program.
struct CPage {
  const unsigned char *bytes;
  size_t length;
};

/// The page with that number, from 0; no bytes and length 0 outside the range.
struct CPage cpages_page(int number, bool in_grey);

#endif
